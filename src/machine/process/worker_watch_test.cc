#include "machine/process/worker_watch.h"

#include <gtest/gtest.h>

namespace outlive::machine {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;

TEST(HeartbeatWatch, HangsOnlyWhenTheHeartbeatStandsStill) {
  HeartbeatWatch watch(10 * kSecond, 60 * kSecond);
  watch.reset(0);
  uint64_t now = 0;
  for (int i = 0; i < 30; ++i) {
    now += kSecond;
    EXPECT_FALSE(watch.hangs(now, now, abi::WorkerState::kServing));
  }
  const uint64_t last = now;
  for (int i = 0; i < 10; ++i) {
    now += kSecond;
    EXPECT_FALSE(watch.hangs(now, last, abi::WorkerState::kServing)) << i;
  }
  EXPECT_TRUE(watch.hangs(now + 1, last, abi::WorkerState::kServing));
}

TEST(HeartbeatWatch, AttachingHasMoreTime) {
  HeartbeatWatch watch(10 * kSecond, 60 * kSecond);
  watch.reset(0);
  uint64_t now = 0;
  for (int i = 0; i < 60; ++i) {
    now += kSecond;
    EXPECT_FALSE(watch.hangs(now, 0, abi::WorkerState::kAttaching)) << i;
  }
  EXPECT_TRUE(watch.hangs(now + kSecond, 0, abi::WorkerState::kAttaching));
}

TEST(HeartbeatWatch, APauseOfTheKeeperCountsAsOneTurn) {
  HeartbeatWatch watch(10 * kSecond, 60 * kSecond);
  watch.reset(0);
  EXPECT_FALSE(watch.hangs(1000 * kSecond, 0, abi::WorkerState::kServing));
  EXPECT_FALSE(watch.hangs(2000 * kSecond, 0, abi::WorkerState::kServing));
}

TEST(HeartbeatWatch, TurnsAreShorterThanTheTimeOut) {
  EXPECT_EQ(HeartbeatWatch(10 * kSecond, 0).turn_ms(), 1000);
  EXPECT_EQ(HeartbeatWatch(kSecond / 5, 0).turn_ms(), 50);
}

TEST(DeathHistory, CountsWithinItsWindowOnly) {
  DeathHistory history(2, 10 * kSecond);
  EXPECT_FALSE(history.note(1 * kSecond));
  EXPECT_FALSE(history.note(2 * kSecond));
  EXPECT_TRUE(history.note(3 * kSecond));
  EXPECT_FALSE(history.note(30 * kSecond));
  EXPECT_FALSE(history.note(31 * kSecond));
  history.clear();
  EXPECT_FALSE(history.note(32 * kSecond));
}

}  // namespace
}  // namespace outlive::machine
