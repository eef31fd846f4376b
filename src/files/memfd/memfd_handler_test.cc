#include "files/memfd/memfd_handler.h"

#include <gtest/gtest.h>
#include <linux/memfd.h>

#include "base/sys.h"
#include "files/classify.h"
#include "files/one_of_each.h"

namespace outlive::files {
namespace {

using luo::FileFacts;
using luo::FileState;
using luo::Preserved;

class MemfdHandlerTest : public testing::Test {
 protected:
  void SetUp() override {
    Result<UniqueFd> made = sys::memfd_create("test", MFD_ALLOW_SEALING);
    ASSERT_TRUE(made);
    fd_ = std::move(*made);
    ASSERT_TRUE(sys::ftruncate(fd_, 8192));
  }
  FileState preserve() {
    Result<Preserved> preserved = handler_.preserve(fd_, *classify(fd_));
    EXPECT_TRUE(preserved);
    return FileState{fd_, 5, preserved->data, preserved->size};
  }
  // The text of a freeze that must be refused with EBUSY.
  std::string refusal(FileState& state) {
    const Status frozen = handler_.freeze(state);
    EXPECT_FALSE(frozen);
    if (frozen) return "";
    EXPECT_EQ(frozen.error().code, EBUSY);
    return frozen.error().message;
  }

  UniqueFd fd_;
  MemfdHandler handler_;
};

TEST_F(MemfdHandlerTest, RecordsSizeAndSeals) {
  ASSERT_TRUE(sys::add_seals(fd_, F_SEAL_SHRINK));
  const FileState state = preserve();
  EXPECT_EQ(state.size, 8192u);
  EXPECT_EQ(state.data, static_cast<uint64_t>(F_SEAL_SHRINK));
}

TEST_F(MemfdHandlerTest, UnchangedFreezesAndComesBack) {
  FileState state = preserve();
  EXPECT_TRUE(handler_.freeze(state));
  handler_.unfreeze(state);
  EXPECT_TRUE(handler_.freeze(state));
  EXPECT_EQ(*handler_.retrieve(state), fd_.borrow());
}

TEST_F(MemfdHandlerTest, FreezeNoticesGrowthWithBothNumbers) {
  FileState state = preserve();
  ASSERT_TRUE(sys::ftruncate(fd_, 12288));
  const std::string text = refusal(state);
  EXPECT_NE(text.find("8192"), std::string::npos) << text;
  EXPECT_NE(text.find("12288"), std::string::npos) << text;
  ASSERT_TRUE(sys::ftruncate(fd_, 4096));
  EXPECT_NE(refusal(state).find("4096"), std::string::npos);
  ASSERT_TRUE(sys::ftruncate(fd_, 8192));
  EXPECT_TRUE(handler_.freeze(state));
}

TEST_F(MemfdHandlerTest, FreezeNoticesNewSeals) {
  ASSERT_TRUE(sys::add_seals(fd_, F_SEAL_SHRINK));
  FileState state = preserve();
  ASSERT_TRUE(sys::add_seals(fd_, F_SEAL_GROW));
  const std::string text = refusal(state);
  EXPECT_NE(text.find("0x2 (shrink)"), std::string::npos) << text;
  EXPECT_NE(text.find("0x6 (shrink grow)"), std::string::npos) << text;
}

TEST_F(MemfdHandlerTest, OnlyMemfds) {
  EXPECT_TRUE(handler_.can_preserve(facts_of_kind(luo::FileKind::kMemfd)));
  EXPECT_FALSE(handler_.can_preserve(facts_of_kind(luo::FileKind::kRegular)));
  const Result<UniqueFd> event = sys::eventfd(0);
  EXPECT_FALSE(handler_.preserve(*event, {}));
}

TEST(MemfdHandlerRulesTest, HugePagesAreKeptButNotByTheKernelsRules) {
  const Result<UniqueFd> huge = sys::memfd_create("huge", MFD_HUGETLB);
  if (!huge) GTEST_SKIP() << huge.error().text();
  const Result<FileFacts> facts = classify(*huge);
  ASSERT_TRUE(facts);
  EXPECT_TRUE(facts->huge_pages);
  MemfdHandler process;
  MemfdHandler kernel(MemfdHandler::Rules::kKernel);
  EXPECT_TRUE(process.can_preserve(*facts));
  EXPECT_FALSE(kernel.can_preserve(*facts));
  EXPECT_TRUE(process.preserve(*huge, *facts));
  EXPECT_EQ(process.survival(*facts), abi::SurvivalClass::kHost);
}

TEST(MemfdHandlerRulesTest, AllKnownSealsPassTheKernelsRules) {
  const Result<UniqueFd> fd = sys::memfd_create("sealed", MFD_ALLOW_SEALING);
  ASSERT_TRUE(fd);
  ASSERT_TRUE(sys::add_seals(*fd, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL));
  MemfdHandler kernel(MemfdHandler::Rules::kKernel);
  EXPECT_TRUE(kernel.can_preserve(*classify(*fd)));
  EXPECT_TRUE(kernel.preserve(*fd, *classify(*fd)));
}

}  // namespace
}  // namespace outlive::files
