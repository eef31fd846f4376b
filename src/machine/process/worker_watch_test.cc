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

constexpr auto kOwn = abi::DeathKind::kOwn;
constexpr auto kOutside = abi::DeathKind::kOutside;

TEST(DeathHistory, CountsWithinItsWindowOnly) {
  DeathHistory history(2, 10 * kSecond);
  EXPECT_FALSE(history.note(1 * kSecond, kOwn, true));
  EXPECT_FALSE(history.note(2 * kSecond, kOwn, true));
  EXPECT_TRUE(history.note(3 * kSecond, kOwn, true));
  EXPECT_FALSE(history.note(30 * kSecond, kOwn, true));
  EXPECT_FALSE(history.note(31 * kSecond, kOwn, true));
  history.clear();
  EXPECT_FALSE(history.note(32 * kSecond, kOwn, true));
}

// SIGKILL every 50 ms for a minute, with a crash of its own now and then.
TEST(DeathHistory, KillsFromOutsideHaveALooserBound) {
  DeathHistory history(10, 10 * kSecond);
  for (uint64_t i = 0; i < 1200; ++i) {
    const bool own = i % 100 == 0;
    EXPECT_FALSE(history.note(i * kSecond / 20, own ? kOwn : kOutside, true)) << i;
  }
}

TEST(DeathHistory, ALoopOfKillsIsBoundedToo) {
  DeathHistory history(10, 10 * kSecond);
  uint64_t deaths = 1;
  while (!history.note(deaths * kSecond / 1000, kOutside, true)) ++deaths;
  EXPECT_EQ(deaths, 301u);
}

// Killed for its memory at each attach, which takes seconds: no window catches it.
TEST(DeathHistory, WhoNeverServesIsBoundedHoweverSlow) {
  DeathHistory history(10, 10 * kSecond);
  uint64_t now = 0;
  for (int i = 0; i < 9; ++i) EXPECT_FALSE(history.note(now += 30 * kSecond, kOutside, false));
  EXPECT_FALSE(history.note(now += 30 * kSecond, kOutside, true)) << "one that serves ends the row";
  for (int i = 0; i < 10; ++i) EXPECT_FALSE(history.note(now += 30 * kSecond, kOutside, false));
  EXPECT_TRUE(history.note(now += 30 * kSecond, kOutside, false));
}

}  // namespace
}  // namespace outlive::machine
