#include "daemon/turn_times.h"

#include <gtest/gtest.h>

namespace outlive::daemon {
namespace {

TEST(TurnTimes, QuantilesAreCloseToTheTruth) {
  TurnTimes times;
  EXPECT_EQ(times.quantile_us(0.5), 0u);
  for (uint64_t us = 0; us < 100'000; ++us) times.note(us * 1000);
  EXPECT_EQ(times.count(), 100'000u);
  EXPECT_EQ(times.max_us(), 99'999u);
  for (const double part : {0.01, 0.5, 0.9, 0.99, 0.999}) {
    const double truth = part * 100'000;
    EXPECT_GE(static_cast<double>(times.quantile_us(part)), truth) << part;
    EXPECT_LE(static_cast<double>(times.quantile_us(part)), truth * 1.125 + 1) << part;
  }
}

TEST(TurnTimes, OneLongTurnIsTheMaximumAndNoQuantile) {
  TurnTimes times;
  for (int i = 0; i < 9'999; ++i) times.note(20'000);
  times.note(uint64_t{3'600} * 1'000'000'000);
  EXPECT_EQ(times.max_us(), 3'600'000'000u);
  EXPECT_LE(times.quantile_us(0.999), 22u);
  times.note(UINT64_MAX);  // a clock gone wrong is in the last one
  EXPECT_EQ(times.count(), 10'001u);
}

}  // namespace
}  // namespace outlive::daemon
