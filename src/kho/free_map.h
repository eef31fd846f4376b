// FreeMap: a set of numbers below a bound that gives its smallest member in a few steps: a bitmap
// with summaries, 64 bits a word, so that a billion numbers have five levels.
// Memory is touched only where numbers are set.
#pragma once

#include <array>
#include <cstdint>
#include <cstdlib>
#include <memory>

namespace outlive::kho {

class FreeMap {
 public:
  static constexpr uint64_t kNone = ~uint64_t{0};

  explicit FreeMap(uint64_t bound);

  bool test(uint64_t number) const {
    return number < bound_ && (levels_[0][number >> 6] >> (number & 63) & 1) != 0;
  }
  void set(uint64_t number);
  void clear(uint64_t number);
  uint64_t first() const;  // kNone when empty
  bool empty() const { return levels_[top_][0] == 0; }

 private:
  struct Free {
    void operator()(uint64_t* memory) const { std::free(memory); }
  };
  static constexpr unsigned kLevels = 7;  // 64^7 > 2^36

  uint64_t bound_;
  unsigned top_ = 0;
  std::array<std::unique_ptr<uint64_t[], Free>, kLevels> levels_;
};

}  // namespace outlive::kho
