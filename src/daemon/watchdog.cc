#include "daemon/watchdog.h"

#include <stdlib.h>

#include "daemon/fd_store.h"

namespace outlive::daemon {

// Not $WATCHDOG_PID: it names the first keeper, and another process may be it now.
Watchdog::Watchdog() {
  const char* usec = getenv("WATCHDOG_USEC");
  if (usec != nullptr) every_ns_ = strtoull(usec, nullptr, 10) / 4 * 1000;
}

void Watchdog::turn(uint64_t now_ns) {
  if (every_ns_ == 0 || now_ns < next_ns_) return;
  // A manager whose queue is full is told in the next turn.
  if (notify_manager("WATCHDOG=1\n") == 0) next_ns_ = now_ns + every_ns_;
}

}  // namespace outlive::daemon
