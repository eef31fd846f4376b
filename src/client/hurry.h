// While an update needs this thread, it asks for short time slices (base/time_slice.h): on a busy
// machine others' slices would be part of the blackout. Where the kernel has none, or the thread
// has a policy of its own, nothing happens.
#pragma once

#include <optional>

#include "base/time_slice.h"

namespace outlive::client {

class Hurry {
 public:
  // The old one from prepare, the successor from its ready.
  void begin() {
    if (before_) return;
    const auto slice = time_slice();
    if (slice && *slice > kShortTimeSliceNs && set_time_slice(kShortTimeSliceNs)) before_ = *slice;
  }
  // At a cancel, and when the update is over: as it was.
  void end() {
    if (before_) static_cast<void>(set_time_slice(*before_));
    before_.reset();
  }

 private:
  std::optional<uint64_t> before_;  // ns
};

}  // namespace outlive::client
