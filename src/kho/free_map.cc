#include "kho/free_map.h"

#include <bit>

#include "base/check.h"

namespace outlive::kho {

FreeMap::FreeMap(uint64_t bound) : bound_(bound) {
  uint64_t words = bound;
  for (top_ = 0;; ++top_) {
    words = (words + 63) / 64;
    if (words == 0) words = 1;
    // calloc: large zeroed memory that is not touched before it is used.
    levels_[top_].reset(static_cast<uint64_t*>(std::calloc(words, sizeof(uint64_t))));
    CHECK(levels_[top_] != nullptr);
    if (words == 1) break;
  }
}

void FreeMap::set(uint64_t number) {
  for (unsigned level = 0; level <= top_; ++level) {
    uint64_t& word = levels_[level][number >> 6];
    const bool known = word != 0;
    word |= uint64_t{1} << (number & 63);
    if (known) return;
    number >>= 6;
  }
}

void FreeMap::clear(uint64_t number) {
  for (unsigned level = 0; level <= top_; ++level) {
    uint64_t& word = levels_[level][number >> 6];
    word &= ~(uint64_t{1} << (number & 63));
    if (word != 0) return;
    number >>= 6;
  }
}

uint64_t FreeMap::first() const {
  if (empty()) return kNone;
  uint64_t number = 0;
  for (unsigned level = top_ + 1; level-- > 0;) {
    number = number << 6 | static_cast<uint64_t>(std::countr_zero(levels_[level][number]));
  }
  return number;
}

}  // namespace outlive::kho
