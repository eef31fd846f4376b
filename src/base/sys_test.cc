// Writing files: whole or not at all, and never in the place of what is no file.
#include "base/sys.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <filesystem>

namespace outlive {
namespace {

class WriteFile : public testing::Test {
 protected:
  void SetUp() override { ASSERT_NE(::mkdtemp(folder_), nullptr); }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string path(const char* name) const { return std::string(folder_) + "/" + name; }

 private:
  char folder_[32] = "/tmp/outlive-sys-XXXXXX";
};

TEST_F(WriteFile, ReplacesAFileAsAWhole) {
  ASSERT_TRUE(sys::write_file(path("a"), "one"));
  const UniqueFd old = *sys::open(path("a"), O_RDONLY);
  ASSERT_TRUE(sys::write_file(path("a"), "two"));
  EXPECT_EQ(*sys::read_file(path("a")), "two");
  char text[4] = {};
  EXPECT_EQ(::read(old.get(), text, 3), 3);
  EXPECT_STREQ(text, "one");
}

// As root `--html /dev/full` took the device away from everybody.
TEST_F(WriteFile, WritesIntoWhatIsNoFile) {
  ASSERT_EQ(::mkfifo(path("pipe").c_str(), 0600), 0);
  const UniqueFd reader = *sys::open(path("pipe"), O_RDONLY | O_NONBLOCK);
  ASSERT_TRUE(sys::write_file(path("pipe"), "text"));
  EXPECT_EQ(std::filesystem::status(path("pipe")).type(), std::filesystem::file_type::fifo);
  char text[8] = {};
  EXPECT_EQ(::read(reader.get(), text, sizeof text), 4);
  EXPECT_STREQ(text, "text");

  ASSERT_TRUE(sys::write_file(path("target"), "old"));
  std::filesystem::create_symlink(path("target"), path("link"));
  ASSERT_TRUE(sys::write_file(path("link"), "new"));
  EXPECT_TRUE(std::filesystem::is_symlink(path("link")));
  EXPECT_EQ(*sys::read_file(path("target")), "new");
}

TEST_F(WriteFile, LeavesNoHalfWhenThereIsNoRoom) {
  ASSERT_TRUE(sys::write_file(path("a"), "old"));
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit little{4, before.rlim_max};
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &little), 0);
  const Status done = sys::write_file(path("a"), "more than that");
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, handler);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, EFBIG);
  EXPECT_EQ(*sys::read_file(path("a")), "old");
  EXPECT_FALSE(std::filesystem::exists(path("a.new")));
}

}  // namespace
}  // namespace outlive
