// What a worker does for operators beside their calls: the metrics' listener, reloads, and the
// counts that the loop itself makes.
//
// Threads: the worker's only one.
#pragma once

#include "daemon/metrics_server.h"
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
  uint64_t closer_timeouts_ = 0;  // that are counted in the totals
};

}  // namespace outlive::daemon
