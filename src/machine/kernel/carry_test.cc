#include "machine/kernel/carry.h"

#include <gtest/gtest.h>

namespace outlive::machine {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;
constexpr uint64_t kWritten = 1'795'692'605 * kSecond + 800'000'000;

TEST(TimeOverKexec, IsWhatTheClockSays) {
  EXPECT_EQ(time_over_kexec(kWritten, kWritten + 3 * kSecond, 2 * kSecond), 3 * kSecond);
}

TEST(TimeOverKexec, ButNotLessThanTheKernelIsThere) {
  EXPECT_EQ(time_over_kexec(kWritten, kWritten + kSecond, 2 * kSecond), 2 * kSecond)
      << "the RTC's second had just begun";
  EXPECT_EQ(time_over_kexec(kWritten, kWritten - kSecond, 2 * kSecond), 2 * kSecond)
      << "the RTC is behind";
  EXPECT_EQ(time_over_kexec(kWritten, 5, 2 * kSecond), 2 * kSecond) << "there is none";
}

}  // namespace
}  // namespace outlive::machine
