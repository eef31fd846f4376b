#include "base/clock.h"

#include <time.h>

namespace outlive {
namespace {

uint64_t read_clock(clockid_t id) {
  timespec now{};
  clock_gettime(id, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000000000u + static_cast<uint64_t>(now.tv_nsec);
}

class SystemClock final : public Clock {
 public:
  uint64_t now_ns() const override { return read_clock(CLOCK_MONOTONIC); }
  uint64_t realtime_ns() const override { return read_clock(CLOCK_REALTIME); }
  uint64_t steady_ns() const override { return read_clock(CLOCK_BOOTTIME) + from_boot; }

  // Unsigned, and so right also for a realtime that was set before the boot.
  uint64_t from_boot = read_clock(CLOCK_REALTIME) - read_clock(CLOCK_BOOTTIME);
};

SystemClock& the_clock() {
  static SystemClock clock;
  return clock;
}

}  // namespace

const Clock& system_clock() {
  return the_clock();
}

uint64_t steady_offset_ns() {
  return the_clock().from_boot;
}

void take_over_steady_offset(uint64_t offset_ns) {
  the_clock().from_boot = offset_ns;
}

}  // namespace outlive
