#include "daemon/throttle.h"

#include <gtest/gtest.h>

namespace outlive::daemon {
namespace {

constexpr uint64_t kMs = 1'000'000;
constexpr uint64_t kGreedy = 1001, kOther = 1002;

class ThrottleTest : public testing::Test {
 protected:
  // The greedy one asks all the time, each request takes 20 us; the other one asks every `other_ns`
  // (0: never). What the greedy one got of that time, ns.
  uint64_t run(uint64_t ns, uint64_t other_ns) {
    uint64_t got = 0;
    uint64_t next_other = now_;
    for (const uint64_t end = now_ + ns; now_ < end; now_ += 20'000) {
      if (other_ns != 0 && now_ >= next_other) {
        throttle_.heard(kOther, now_);
        EXPECT_EQ(throttle_.wait_ns(kOther, now_), 0u);
        throttle_.charge(kOther, 20'000, now_);
        next_other = now_ + other_ns;
        continue;
      }
      throttle_.heard(kGreedy, now_);
      if (throttle_.wait_ns(kGreedy, now_) != 0) continue;
      got += 20'000;
      if (throttle_.is_shared(kGreedy, now_)) throttle_.charge(kGreedy, 20'000, now_);
    }
    return got;
  }

  Throttle throttle_{10};
  uint64_t now_ = 1'000 * kMs;
};

TEST_F(ThrottleTest, WhoIsAloneNeverWaits) {
  EXPECT_EQ(run(1'000 * kMs, 0), 1'000 * kMs);
}

TEST_F(ThrottleTest, WhoIsNotAloneHasABurstAndThenHisShare) {
  EXPECT_GE(run(60 * kMs, kMs), Throttle::kBurstNs);
  const uint64_t got = run(1'000 * kMs, kMs);
  EXPECT_GE(got, 90 * kMs);
  EXPECT_LE(got, 115 * kMs);
}

TEST_F(ThrottleTest, TheWaitIsOverWhenTheOthersHaveGone) {
  run(200 * kMs, kMs);
  throttle_.heard(kOther, now_);
  throttle_.heard(kGreedy, now_);
  throttle_.charge(kGreedy, Throttle::kBurstNs, now_);
  EXPECT_GT(throttle_.wait_ns(kGreedy, now_), 0u);
  now_ += Throttle::kPresenceNs;
  EXPECT_EQ(throttle_.wait_ns(kGreedy, now_), 0u);
  EXPECT_EQ(run(500 * kMs, 0), 500 * kMs);
}

TEST_F(ThrottleTest, NobodyOwesForLong) {
  throttle_.heard(kOther, now_);
  throttle_.charge(kGreedy, 60'000 * kMs, now_);
  throttle_.heard(kGreedy, now_);
  EXPECT_LE(throttle_.wait_ns(kGreedy, now_),
            10 * (Throttle::kMostDebtNs + Throttle::kRestartNs) + 1);
}

// Else he would be let in for a single request at a time.
TEST_F(ThrottleTest, GoesOnWithEnoughForAWhile) {
  throttle_.heard(kOther, now_);
  throttle_.charge(kGreedy, Throttle::kBurstNs, now_);
  throttle_.heard(kGreedy, now_);
  EXPECT_EQ(throttle_.wait_ns(kGreedy, now_), 10 * Throttle::kRestartNs + 1);
}

// Not in the middle of what others do, but not never.
TEST_F(ThrottleTest, GoesOnWhenTheOthersAreSilentOrAfterAWhile) {
  throttle_.heard(kOther, now_);
  throttle_.charge(kGreedy, Throttle::kBurstNs, now_);
  now_ += 10 * Throttle::kRestartNs;
  throttle_.heard(kOther, now_);
  EXPECT_EQ(throttle_.wait_ns(kGreedy, now_), Throttle::kSilenceNs);
  EXPECT_EQ(throttle_.wait_ns(kGreedy, now_ + Throttle::kSilenceNs), 0u);

  throttle_.charge(kGreedy, Throttle::kBurstNs, now_);
  uint64_t waited = 0;
  while (throttle_.wait_ns(kGreedy, now_) != 0 && waited < 1'000 * kMs) {
    now_ += Throttle::kSilenceNs / 2;
    waited += Throttle::kSilenceNs / 2;
    throttle_.heard(kOther, now_);  // never silent
  }
  EXPECT_LE(waited,
            10 * (Throttle::kMostDebtNs + Throttle::kRestartNs) + Throttle::kLatestNs + kMs);
}

TEST_F(ThrottleTest, AHundredPercentIsOff) {
  Throttle off(100);
  off.heard(kOther, now_);
  off.charge(kGreedy, 60'000 * kMs, now_);
  EXPECT_EQ(off.wait_ns(kGreedy, now_), 0u);
}

TEST(Sooner, ZeroIsNone) {
  EXPECT_EQ(sooner(0, 0), 0u);
  EXPECT_EQ(sooner(0, 5), 5u);
  EXPECT_EQ(sooner(5, 0), 5u);
  EXPECT_EQ(sooner(7, 5), 5u);
}

}  // namespace
}  // namespace outlive::daemon
