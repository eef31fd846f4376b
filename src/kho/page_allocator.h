// PageAllocator: which pages are free, as buddies of orders 0 to kMaxOrder. It lives in the heap,
// knows page numbers only, and is rebuilt at attach.
//
// The lowest address is taken first, so that the arena stays dense; single pages that were given
// back last are taken first of all, while their lines are still in the cache.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "abi/kho.h"
#include "kho/free_map.h"

namespace outlive::kho {

class PageAllocator {
 public:
  static constexpr uint64_t kNone = FreeMap::kNone;

  explicit PageAllocator(uint64_t pages);

  // The first page of a naturally aligned block, or kNone.
  uint64_t take(unsigned order) {
    if (order == 0 && recent_count_ > 0) [[likely]] {
      --free_;
      return recent_[--recent_count_];
    }
    return take_slow(order);
  }
  void give(uint64_t page, unsigned order) {
    if (order == 0 && recent_count_ < recent_.size()) [[likely]] {
      ++free_;
      recent_[recent_count_++] = page;
      return;
    }
    give_slow(page, order);
  }
  // Pages [first, end) become free; neighbours that are free already are joined.
  void give_range(uint64_t first, uint64_t end);
  uint64_t free_pages() const { return free_; }

 private:
  uint64_t take_slow(unsigned order);
  void give_slow(uint64_t page, unsigned order);
  uint64_t take_block(unsigned order);
  void give_block(uint64_t page, unsigned order);
  void flush_recent();

  uint64_t pages_;
  uint64_t free_ = 0;
  uint32_t filled_ = 0;          // bit o: blocks_[o] isn't empty
  std::vector<FreeMap> blocks_;  // by order; number = page >> order
  std::array<uint64_t, 64> recent_{};
  unsigned recent_count_ = 0;
};

}  // namespace outlive::kho
