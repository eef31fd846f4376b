// Images with sessions, files, services and updates that nobody vouches for. Attach refuses one
// with a reason, or what it gives agrees with itself: nothing derived is wrong, everything can be
// ended, and a second attach finds nothing to do. It never crashes.
#include <random>

#include "kho/dump.h"
#include "luo/format.h"
#include "luo/fsck_image.h"
#include "luo/fsck_test.h"

namespace outlive::luo {
namespace {

class Hostile : public testing::Test {
 protected:
  void SetUp() override {
    set_log_level(LogLevel::kError);
    ASSERT_TRUE(write_kernel_format(*world_.core));
    image_ = FileImage::take(world_.arena->view());
    const kho::ArenaDump dump = kho::dump(world_.arena->view(), false).take();
    add(0, sizeof(abi::ArenaHeader));
    add(dump.root_fdt_page.value, dump.root_fdt.size());
    add(world_.arena->header().descriptors, dump.high_water * 8);
    for (const kho::Folio& folio : dump.folios) add(folio.head.value, folio.bytes());
  }
  // Of what is in use, words that are not zero lead somewhere; of the others a few do.
  void add(uint64_t from, uint64_t bytes) {
    for (uint64_t at = from; at + 8 <= from + bytes; at += 8) {
      (word_in(image_, at) != 0 ? used_ : empty_).push_back(at);
    }
  }
  static uint64_t& word_in(FileImage& image, uint64_t at) {
    return *reinterpret_cast<uint64_t*>(image.bytes().data() + at);
  }
  // 0: taken, and found consistent.
  int attach_code(const FileImage& image) {
    Context context = world_.context();
    context.release = [](BorrowedFd) {};
    const UniqueFd file = image.file();
    const auto looked = fsck_image(file, context);
    if (!looked) return looked.error().code;
    if (looked->refused) {
      EXPECT_GT(looked->findings.lines.back().text.size(), 20u) << "a reason";
      return EUCLEAN;
    }
    expect_settled(fsck_image(looked->settled, context).take().findings);
    end_all(looked->settled, context);
    return 0;
  }
  static void expect_settled(const Findings& findings) {
    for (const Finding& one : findings.lines) EXPECT_FALSE(one.derived) << one.text;
  }
  void end_all(BorrowedFd file, const Context& context) {
    const auto arena = kho::Arena::attach(file).take();
    const auto core = Core::attach(*arena, context, world_.null_host).take();
    EXPECT_TRUE(write_kernel_format(*core));
    std::vector<Session*> sessions;
    core->sessions().for_each([&](Session& session) { sessions.push_back(&session); });
    for (Session* session : sessions) EXPECT_TRUE(core->end_session(*session, false));
    std::vector<abi::ServiceSlot*> services;
    core->services().for_each([&](abi::ServiceSlot& service) { services.push_back(&service); });
    for (abi::ServiceSlot* service : services) core->remove_service(*service);
    EXPECT_EQ(core->records().count(abi::PoolKind::kSession), 0u);
    EXPECT_EQ(core->records().count(abi::PoolKind::kFile), 0u);
    expect_settled(fsck(*core, [](BorrowedFd) { return true; }));
  }

  FsckWorld world_;
  FileImage image_;
  std::vector<uint64_t> used_;
  std::vector<uint64_t> empty_;
};

TEST_F(Hostile, TheSoundOne) {
  EXPECT_EQ(attach_code(image_), 0);
}

// Each word in use, in turn: a bit of it turned, and a few values that lie.
TEST_F(Hostile, EveryWordInUse) {
  int refused = 0;
  int taken = 0;
  std::mt19937_64 random(11);
  for (const uint64_t at : used_) {
    SCOPED_TRACE(fmt::format("{:#x}", at));
    FileImage image = image_;
    const uint64_t values[] = {word_in(image, at) ^ uint64_t{1} << random() % 64, 0, ~uint64_t{0},
                               word_in(image, used_[random() % used_.size()])};
    word_in(image, at) = values[random() % std::size(values)];
    (attach_code(image) == 0 ? taken : refused) += 1;
    if (HasFailure()) return;
  }
  EXPECT_GT(refused, 50);
  EXPECT_GT(taken, 50);
}

// Several at once, also where nothing is.
TEST_F(Hostile, ManyFlips) {
  int taken = 0;
  constexpr unsigned kSeeds = 300;
  for (unsigned seed = 0; seed < kSeeds; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    FileImage image = image_;
    for (uint64_t i = 0; i < 1 + random() % 6; ++i) {
      const auto& from = random() % 3 == 0 ? empty_ : used_;
      word_in(image, from[random() % from.size()]) ^= uint64_t{1} << random() % 64;
    }
    taken += attach_code(image) == 0;
    if (HasFailure()) return;
  }
  EXPECT_GT(taken, 10);
  EXPECT_LT(taken, static_cast<int>(kSeeds));
}

TEST_F(Hostile, CutShort) {
  const UniqueFd whole = image_.file();
  const auto size = static_cast<uint64_t>(sys::fstat(whole).take().st_size);
  for (uint64_t left = 0; left < size; left += size / 29 + 1) {
    const UniqueFd file = sys::memfd_create("cut", MFD_ALLOW_SEALING).take();
    ASSERT_TRUE(sys::ftruncate(file, left));
    const size_t bytes = std::min<size_t>(left, image_.bytes().size());
    ASSERT_TRUE(sys::write_all(file, {reinterpret_cast<char*>(image_.bytes().data()), bytes}));
    const auto looked = fsck_image(file, world_.context());
    ASSERT_TRUE(looked) << looked.error().text();
    EXPECT_TRUE(looked->refused) << left;
  }
}

}  // namespace
}  // namespace outlive::luo
