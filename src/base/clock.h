// Time is handed in: luo/ and kho/ read no clock of their own.
#pragma once

#include <cstdint>

namespace outlive {

class Clock {
 public:
  virtual ~Clock() = default;
  virtual uint64_t now_ns() const = 0;       // CLOCK_MONOTONIC
  virtual uint64_t realtime_ns() const = 0;  // CLOCK_REALTIME
};

// The system's clocks; the only implementation outside tests.
const Clock& system_clock();

}  // namespace outlive
