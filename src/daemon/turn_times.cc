#include "daemon/turn_times.h"

#include <algorithm>
#include <bit>

namespace outlive::daemon {

// Below kSteps microseconds a bucket is one of them.
unsigned TurnTimes::bucket_of(uint64_t us) {
  if (us < kSteps) return static_cast<unsigned>(us);
  const auto power = static_cast<unsigned>(std::bit_width(us)) - 1;
  const auto step = static_cast<unsigned>((us >> (power - 3)) & (kSteps - 1));
  return (power - 2) * kSteps + step;
}

uint64_t TurnTimes::end_of(unsigned bucket) {
  if (bucket < kSteps) return bucket + 1;
  const unsigned power = bucket / kSteps + 2;
  return (uint64_t{kSteps} + bucket % kSteps + 1) << (power - 3);
}

void TurnTimes::note(uint64_t ns) {
  const size_t bucket = std::min<size_t>(bucket_of(ns / 1000), buckets_.size() - 1);
  ++buckets_[bucket];
  ++count_;
  max_ns_ = std::max(max_ns_, ns);
}

uint64_t TurnTimes::quantile_us(double part) const {
  const auto wanted = static_cast<uint64_t>(part * static_cast<double>(count_));
  uint64_t seen = 0;
  for (unsigned bucket = 0; bucket < buckets_.size(); ++bucket) {
    seen += buckets_[bucket];
    if (seen > wanted) return std::min(end_of(bucket), max_us() + 1);
  }
  return max_us();
}

}  // namespace outlive::daemon
