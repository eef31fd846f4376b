// Time is handed in: luo/ and kho/ read no clock of their own.
#pragma once

#include <cstdint>

namespace outlive {

class Clock {
 public:
  virtual ~Clock() = default;
  virtual uint64_t now_ns() const = 0;       // CLOCK_MONOTONIC
  virtual uint64_t realtime_ns() const = 0;  // CLOCK_REALTIME
  // A realtime that nobody sets: CLOCK_REALTIME as it was when this process began (or the
  // one that it carries on for), and CLOCK_BOOTTIME since then. It goes on while the machine sleeps
  // and never jumps.
  virtual uint64_t steady_ns() const = 0;
};

// The system's clocks; the only implementation outside tests. Whoever is cloned after the first
// call has the same steady_ns().
const Clock& system_clock();

// What system_clock().steady_ns() adds to CLOCK_BOOTTIME. Whoever carries on for another process of
// the same boot takes its offset over, so that times of the two can be compared: call it before
// anything reads the clock, with one thread.
uint64_t steady_offset_ns();
void take_over_steady_offset(uint64_t offset_ns);

}  // namespace outlive
