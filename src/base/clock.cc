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
  uint64_t steady_ns() const override { return read_clock(CLOCK_BOOTTIME) + from_boot_; }

 private:
  // Unsigned, and so right also for a realtime that was set before the boot.
  const uint64_t from_boot_ = read_clock(CLOCK_REALTIME) - read_clock(CLOCK_BOOTTIME);
};

}  // namespace

const Clock& system_clock() {
  static const SystemClock clock;
  return clock;
}

}  // namespace outlive
