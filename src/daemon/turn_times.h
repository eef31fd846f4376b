// TurnTimes: how long the event loop's turns took, from waking to waiting again: so long may a
// request wait for another's. A histogram; steps of an eighth or less.
#pragma once

#include <array>
#include <cstdint>

namespace outlive::daemon {

class TurnTimes {
 public:
  void note(uint64_t ns);
  uint64_t count() const { return count_; }
  uint64_t max_us() const { return max_ns_ / 1000; }
  // The time within which that part of the turns was over: 0.999. 0: none yet.
  uint64_t quantile_us(double part) const;

 private:
  static constexpr unsigned kSteps = 8;  // of each power of two
  static unsigned bucket_of(uint64_t us);
  static uint64_t end_of(unsigned bucket);
  std::array<uint64_t, 40 * kSteps> buckets_{};
  uint64_t count_ = 0;
  uint64_t max_ns_ = 0;
};

}  // namespace outlive::daemon
