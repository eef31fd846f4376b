// Watchdog: tells the service manager now and then that outlived lives (sd_notify(3), WATCHDOG=1).
//
// For the one case that the manager doesn't see by itself: all of outlived's processes die at once,
// and their services don't. They are in the same cgroup, so for the manager the service goes on;
// with WatchdogSec= in the unit it ends what is left, and starts outlived again with what it
// stored.
//
// Who looks after the worker is the keeper, and far quicker: this needs to be minutes.
// Threads: the worker's only one. A worker that holds everything says it too.
#pragma once

#include <cstdint>

namespace outlive::daemon {

class Watchdog {
 public:
  // Reads $WATCHDOG_USEC; nothing is ever told without it, or without $NOTIFY_SOCKET.
  Watchdog();
  // To be called at least twice a second.
  void turn(uint64_t now_ns);

 private:
  uint64_t every_ns_ = 0;  // 0: nobody waits for it
  uint64_t next_ns_ = 0;
};

}  // namespace outlive::daemon
