// What a worker does for operators beside their calls: the metrics' listener, reloads, the counts
// that the loop itself makes, and on-finish-failure.
//
// Threads: the worker's only one.
#pragma once

#include <optional>

#include "daemon/metrics_server.h"
#include "daemon/rebooter.h"
#include "daemon/reloader.h"

namespace outlive::daemon {

class Device;

class Operators {
 public:
  // Enters itself into `parts`.
  Operators(Parts& parts, WorkerInput& input, Supervisor& supervisor, const Device& device);
  // Once requests are answered: the listener, and services that the configuration names.
  void start() { reloader_.start(); }
  // Once a turn of the loop.
  void tick(uint64_t now_ns);
  // outlived ends.
  void end() { metrics_.end(); }

 private:
  Parts& parts_;
  MetricsServer metrics_;
  Reloader reloader_;
  // [liveupdate] on-finish-failure, while a finish has failed; made anew when its keys change.
  void follow_finish_failure(uint64_t now_ns);
  std::optional<Rebooter> rebooter_;
  std::vector<std::string> reboot_command_;  // of `rebooter_`
  uint64_t reboot_timeout_ns_ = 0;
  uint64_t closer_timeouts_ = 0;  // that are counted in the totals
};

}  // namespace outlive::daemon
