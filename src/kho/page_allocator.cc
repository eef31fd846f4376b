#include "kho/page_allocator.h"

#include <algorithm>
#include <bit>

namespace outlive::kho {

PageAllocator::PageAllocator(uint64_t pages) : pages_(pages) {
  blocks_.reserve(abi::kMaxOrder + 1);
  for (unsigned order = 0; order <= abi::kMaxOrder; ++order) blocks_.emplace_back(pages >> order);
}

uint64_t PageAllocator::take_slow(unsigned order) {
  uint64_t page = take_block(order);
  if (page == kNone && recent_count_ > 0) {
    flush_recent();
    page = take_block(order);
  }
  if (page != kNone) free_ -= uint64_t{1} << order;
  return page;
}

void PageAllocator::give_slow(uint64_t page, unsigned order) {
  free_ += uint64_t{1} << order;
  if (order == 0) flush_recent();
  give_block(page, order);
}

void PageAllocator::give_range(uint64_t first, uint64_t end) {
  free_ += end - first;
  while (first < end) {
    const auto aligned = static_cast<unsigned>(std::countr_zero(first));
    const auto fits = static_cast<unsigned>(std::bit_width(end - first)) - 1;
    const unsigned order = std::min({aligned, fits, abi::kMaxOrder});
    give_block(first, order);
    first += uint64_t{1} << order;
  }
}

uint64_t PageAllocator::take_block(unsigned order) {
  const uint32_t candidates = filled_ & (~uint32_t{0} << order);
  if (candidates == 0) return kNone;
  auto from = static_cast<unsigned>(std::countr_zero(candidates));
  uint64_t number = blocks_[from].first();
  blocks_[from].clear(number);
  if (blocks_[from].empty()) filled_ &= ~(uint32_t{1} << from);
  while (from > order) {
    --from;
    number <<= 1;
    blocks_[from].set(number + 1);
    filled_ |= uint32_t{1} << from;
  }
  return number << order;
}

void PageAllocator::give_block(uint64_t page, unsigned order) {
  uint64_t number = page >> order;
  while (order < abi::kMaxOrder && blocks_[order].test(number ^ 1)) {
    blocks_[order].clear(number ^ 1);
    if (blocks_[order].empty()) filled_ &= ~(uint32_t{1} << order);
    number >>= 1;
    ++order;
  }
  blocks_[order].set(number);
  filled_ |= uint32_t{1} << order;
}

void PageAllocator::flush_recent() {
  while (recent_count_ > 0) give_block(recent_[--recent_count_], 0);
}

}  // namespace outlive::kho
