#include "daemon/saved_image.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "abi/kho.h"
#include "base/sys.h"
#include "kho/arena.h"

namespace outlive::daemon {
namespace {

constexpr uint64_t kTime = 1'000'000'000'000'000'000;
constexpr off_t kFar = 9 << 20;

class SavedImage : public testing::Test {
 protected:
  SavedImage() {
    EXPECT_NE(::mkdtemp(folder_), nullptr);
    arena_ = kho::Arena::create_file(16 << 20).take();
    put(0, "refused");
    put(kFar, "far");
  }
  ~SavedImage() override { std::filesystem::remove_all(folder_); }
  void put(off_t at, std::string_view text) {
    ASSERT_EQ(::pwrite(arena_.get(), text.data(), text.size(), at),
              static_cast<ssize_t>(text.size()));
  }
  static std::string read(BorrowedFd file, off_t at) {
    char bytes[8] = {};
    EXPECT_GE(::pread(file.get(), bytes, 7, at), 0);
    return bytes;
  }
  Result<std::string> save() {
    return save_image(arena_, folder_, kTime, [this] { ++beats_; });
  }
  size_t files() const {
    return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(folder_), {}));
  }

  char folder_[32] = "/tmp/outlive-imageXXXXXX";
  UniqueFd arena_;
  unsigned beats_ = 0;
};

TEST_F(SavedImage, IsWholeAndNobodyElses) {
  const Result<std::string> path = save();
  ASSERT_TRUE(path) << path.error().text();
  EXPECT_TRUE(path->ends_with("/refused-2001-09-09T01:46:40.000Z.arena")) << *path;
  const UniqueFd file = sys::open(*path, O_RDONLY).take();
  const struct stat facts = sys::fstat(file).take();
  EXPECT_EQ(facts.st_mode & 0777, 0600u);
  EXPECT_EQ(facts.st_size, 16 << 20);
  EXPECT_LT(facts.st_blocks * 512, 8 << 20) << "holes stay holes";
  EXPECT_EQ(read(file, 0), "refused");
  EXPECT_EQ(read(file, kFar), "far");
  EXPECT_GT(beats_, 0u);
  EXPECT_EQ(files(), 1u);
}

TEST_F(SavedImage, WhatCantBeSavedLeavesNothing) {
  ASSERT_TRUE(save());
  EXPECT_EQ(save().error().code, EEXIST) << "an older one is never written over";
  EXPECT_EQ(files(), 1u);
  EXPECT_EQ(save_image(arena_, std::string(folder_) + "/none", kTime, [] {}).error().code, ENOENT);
}

TEST_F(SavedImage, ClearedItIsBlank) {
  ASSERT_TRUE(clear_arena(arena_));
  EXPECT_EQ(read(arena_, 0), "");
  EXPECT_EQ(read(arena_, kFar), "");
  const struct stat facts = sys::fstat(arena_).take();
  EXPECT_EQ(facts.st_size, 16 << 20);
  EXPECT_EQ(facts.st_blocks, 0);
  EXPECT_TRUE(kho::Arena::create(arena_)) << "and can be used anew";
}

}  // namespace
}  // namespace outlive::daemon
