#include "base/time_slice.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/resource.h>

#include <thread>

namespace outlive {
namespace {

TEST(TimeSlice, IsShortAndThenTheDefaultAgain) {
  std::thread([] {
    const Result<uint64_t> before = time_slice();
    ASSERT_TRUE(before) << before.error().text();
    if (*before == 0) GTEST_SKIP() << "this kernel has no slices that can be asked for (6.12)";
    ASSERT_TRUE(set_time_slice(kShortTimeSliceNs));
    EXPECT_EQ(*time_slice(), kShortTimeSliceNs);
    ASSERT_TRUE(set_time_slice(kDefaultTimeSlice));
    EXPECT_EQ(*time_slice(), *before);
  }).join();
}

TEST(TimeSlice, KeepsNiceValueAndPolicy) {
  std::thread([] {
    ASSERT_EQ(::setpriority(PRIO_PROCESS, 0, 5), 0);
    const sched_param none{};
    ASSERT_EQ(::sched_setscheduler(0, SCHED_BATCH, &none), 0);
    ASSERT_TRUE(set_time_slice(kShortTimeSliceNs));
    EXPECT_EQ(::getpriority(PRIO_PROCESS, 0), 5);
    EXPECT_EQ(::sched_getscheduler(0), SCHED_BATCH);
  }).join();
}

TEST(TimeSlice, LeavesOtherPoliciesAlone) {
  std::thread([] {
    const sched_param none{};
    ASSERT_EQ(::sched_setscheduler(0, SCHED_IDLE, &none), 0);
    const Status refused = set_time_slice(kShortTimeSliceNs);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, EINVAL);
    EXPECT_EQ(::sched_getscheduler(0), SCHED_IDLE);
  }).join();
}

}  // namespace
}  // namespace outlive
