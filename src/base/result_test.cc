#include "base/result.h"

#include <gtest/gtest.h>

#include "base/fault.h"
#include "base/sys.h"

namespace outlive {
namespace {

Result<int> half(int value) {
  if (value % 2 != 0) return fail(EINVAL, "{} is odd", value);
  return value / 2;
}

Result<int> quarter(int value) {
  const int once = TRY(half(value));
  return TRY(half(once).context("second half of {}", value));
}

TEST(Result, TryGivesTheValueOrReturnsTheError) {
  EXPECT_EQ(*quarter(8), 2);
  const Result<int> odd = quarter(7);
  ASSERT_FALSE(odd);
  EXPECT_EQ(odd.error().text(), "7 is odd (EINVAL)");
  EXPECT_EQ(quarter(6).error().message, "second half of 6: 3 is odd");
}

TEST(Result, ErrnoHasItsName) {
  EXPECT_EQ(errno_name(ENOSPC), "ENOSPC");
  errno = ENOENT;
  const Error error = fail_errno("/nowhere");
  EXPECT_EQ(error.code, ENOENT);
  EXPECT_EQ(error.message, "/nowhere: No such file or directory");
}

TEST(UniqueFd, ClosesWhatItOwnsOnce) {
  int number = -1;
  {
    UniqueFd fd = *sys::memfd_create("t", 0);
    number = fd.get();
    UniqueFd moved = std::move(fd);
    EXPECT_FALSE(fd.valid());  // NOLINT: what a move leaves is promised
    EXPECT_TRUE(sys::get_fd_flags(BorrowedFd(number)));
    fd = std::move(moved);
    EXPECT_EQ(fd.get(), number);
  }
  EXPECT_FALSE(sys::get_fd_flags(BorrowedFd(number)));
}

TEST(Fault, TheNthHitFailsAndNoOther) {
  ASSERT_TRUE(arm_faults("sys.memfd_create:2=ENOMEM"));
  EXPECT_TRUE(sys::memfd_create("a", 0));
  const auto second = sys::memfd_create("b", 0);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ENOMEM);
  EXPECT_TRUE(sys::memfd_create("c", 0));
  ASSERT_TRUE(arm_faults("sys.*:0=EIO"));
  EXPECT_EQ(sys::memfd_create("d", 0).error().code, EIO);
  EXPECT_EQ(sys::eventfd(0).error().code, EIO);
  ASSERT_TRUE(arm_faults(""));
  EXPECT_TRUE(sys::memfd_create("e", 0));
  for (const char* bad : {"x", "x:1", "x=EIO", "x:y=EIO", "x:1=ENONSENSE", "x:-1=EIO"}) {
    EXPECT_FALSE(arm_faults(bad)) << bad;
  }
}

TEST(Sys, AUnixPathThatIsTooLongIsNamedWithItsLength) {
  const auto address = sys::unix_address(std::string(200, 'x'));
  ASSERT_FALSE(address);
  EXPECT_EQ(address.error().code, ENAMETOOLONG);
  EXPECT_NE(address.error().message.find("200 bytes"), std::string::npos);
  EXPECT_TRUE(sys::unix_address("@abstract"));
}

}  // namespace
}  // namespace outlive
