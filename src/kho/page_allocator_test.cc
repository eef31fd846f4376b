#include "kho/page_allocator.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

namespace outlive::kho {
namespace {

TEST(FreeMap, SmallestFirst) {
  FreeMap map(1 << 20);
  EXPECT_TRUE(map.empty());
  EXPECT_EQ(map.first(), FreeMap::kNone);
  for (const uint64_t number : {777777u, 63u, 64u, 1048575u}) map.set(number);
  EXPECT_EQ(map.first(), 63u);
  EXPECT_TRUE(map.test(64));
  EXPECT_FALSE(map.test(65));
  EXPECT_FALSE(map.test(1 << 20));
  map.clear(63);
  map.clear(64);
  EXPECT_EQ(map.first(), 777777u);
  map.clear(777777);
  EXPECT_EQ(map.first(), 1048575u);
  map.clear(1048575);
  EXPECT_TRUE(map.empty());
}

// Against a plain set of pages: blocks are aligned, never overlap, and all join again.
TEST(PageAllocator, RandomAgainstModel) {
  constexpr uint64_t kPages = 5000;
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  PageAllocator allocator(kPages);
  allocator.give_range(7, kPages);
  std::set<uint64_t> free;
  for (uint64_t page = 7; page < kPages; ++page) free.insert(page);
  std::vector<std::pair<uint64_t, unsigned>> taken;
  for (int step = 0; step < 20000; ++step) {
    if (random() % 2 == 0 || taken.empty()) {
      const auto order = static_cast<unsigned>(random() % 7);
      const uint64_t page = allocator.take(order);
      if (page == PageAllocator::kNone) continue;
      ASSERT_EQ(page % (uint64_t{1} << order), 0u);
      for (uint64_t i = 0; i < uint64_t{1} << order; ++i) ASSERT_EQ(free.erase(page + i), 1u);
      taken.push_back({page, order});
    } else {
      std::swap(taken[random() % taken.size()], taken.back());
      const auto [page, order] = taken.back();
      taken.pop_back();
      allocator.give(page, order);
      for (uint64_t i = 0; i < uint64_t{1} << order; ++i) free.insert(page + i);
    }
    ASSERT_EQ(allocator.free_pages(), free.size());
  }
  for (const auto& [page, order] : taken) allocator.give(page, order);
  EXPECT_EQ(allocator.free_pages(), kPages - 7);
  EXPECT_EQ(allocator.take(11), 2048u);  // the one aligned block of 2,048 pages that is left whole
  EXPECT_EQ(allocator.take(12), PageAllocator::kNone);
}

TEST(PageAllocator, FullIsNone) {
  PageAllocator allocator(100);
  EXPECT_EQ(allocator.take(0), PageAllocator::kNone);
  allocator.give_range(10, 12);
  EXPECT_EQ(allocator.take(1), 10u);
  EXPECT_EQ(allocator.take(0), PageAllocator::kNone);
}

}  // namespace
}  // namespace outlive::kho
