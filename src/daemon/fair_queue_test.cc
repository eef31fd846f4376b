#include "daemon/fair_queue.h"

#include <gtest/gtest.h>

#include <vector>

namespace outlive::daemon {
namespace {

std::vector<uint64_t> all_of(FairQueue& queue) {
  std::vector<uint64_t> keys;
  while (const auto key = queue.next()) keys.push_back(*key);
  return keys;
}

TEST(FairQueue, UsersTakeTurns) {
  FairQueue queue;
  for (const uint64_t key : {1, 2, 3, 4}) queue.add(1000, key);
  queue.add(1001, 10);
  queue.add(1002, 20);
  queue.add(1002, 21);
  EXPECT_EQ(all_of(queue), (std::vector<uint64_t>{1, 10, 20, 2, 21, 3, 4}));
  EXPECT_TRUE(queue.empty());
}

TEST(FairQueue, OnceUntilItIsTaken) {
  FairQueue queue;
  queue.add(1000, 1);
  queue.add(1000, 1);
  EXPECT_EQ(queue.next(), 1u);
  EXPECT_EQ(queue.next(), std::nullopt);
  queue.add(1000, 1);
  EXPECT_EQ(queue.next(), 1u);
}

// One who comes while another has much to do is next but one.
TEST(FairQueue, WhoComesLateDoesNotWaitForAll) {
  FairQueue queue;
  for (uint64_t key = 1; key <= 100; ++key) queue.add(1000, key);
  queue.next();
  queue.add(1001, 500);
  queue.next();
  EXPECT_EQ(queue.next(), 500u);
}

}  // namespace
}  // namespace outlive::daemon
