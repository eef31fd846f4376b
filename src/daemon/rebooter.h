// [liveupdate] on-incoming-failure, on-finish-failure = "reboot": runs the configured command while
// what is wrong is held, so that what can't be reclaimed is reset.
//
// Happy path:   the first try takes the machine down, and us with it.
// Unhappy path: we are still here after the time-out: once more, kTries times in all; then it is
//               left at holding.
// Launched by the keeper, as services are: a worker can't exec. Threads: one; nothing waits.
#pragma once

#include <string>
#include <vector>

#include "machine/process/launch.h"

namespace outlive::daemon {

class Rebooter {
 public:
  static constexpr unsigned kTries = 3;

  // An empty command: never does anything. `launches` is pumped by whose it is; `why` for the log:
  // the key that wants it.
  Rebooter(machine::Control& control, machine::LaunchQueue& launches, std::string why,
           std::vector<std::string> command, uint64_t timeout_ns);
  // Once a turn of the loop.
  void turn(uint64_t now_ns);

 private:
  void start();

  machine::Control& control_;
  machine::LaunchQueue& launches_;
  std::string why_;
  std::vector<std::string> command_;
  uint64_t timeout_ns_;
  uint64_t next_ns_ = 0;
  unsigned tries_ = 0;
  bool over_ = false;
};

}  // namespace outlive::daemon
