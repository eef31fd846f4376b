// Reloader: takes a changed configuration without a restart, by SIGHUP or by an operator's call.
//
// Happy path:   read the file -> check it whole -> open what it needs (regions, the metrics'
//               listener) -> keep its text (Control::keep_config: from here on it is in force) ->
//               apply what can be applied, say what waits
// Unhappy path: a key that only a start reads has changed, or anything else before the text is
//               kept: the answer and the log say which, and the configuration before goes on,
//               whole.
// A death:      the next worker takes the kept text (take_config), whatever is on the disk by then.
//               A SIGHUP that was being carried out is carried out again; after two deaths it
//               isn't.
// Threads: one.
#pragma once

#include <functional>

#include "daemon/config_change.h"
#include "daemon/options.h"
#include "daemon/parts.h"

namespace outlive::daemon {

class MetricsServer;
class Supervisor;
struct WorkerInput;

// A new worker's configuration: the one that is kept. `input` has what outlived was started with.
Config take_config(const machine::Control& control, const WorkerInput& input);

class Reloader {
 public:
  struct Report {
    std::string path;
    std::vector<std::string> applied;
    std::vector<std::string> pending;
  };
  Reloader(Parts& parts, WorkerInput& input, Supervisor& supervisor, MetricsServer& metrics);

  // Keeps the text that outlived was started with, where none is kept; the metrics' listener, and
  // services that the configuration in force names and nobody has started yet.
  void start();
  // EINVAL: the file is refused, or what it changes needs a start; others: what it asks for can't
  // be had.
  Result<Report> reload();
  // The SIGHUPs that have come.
  void tick();

 private:
  Result<Report> try_reload();
  void serve_metrics(UniqueFd listener);
  void tell_keeper();
  void apply(const ConfigChange& change, Report& report);
  void apply_services(const ConfigChange& change, Report& report);

  Parts& parts_;
  const Options& options_;
  const std::string& started_text_;
  Config& config_;  // the one in force, which everybody reads
  Supervisor& supervisor_;
  MetricsServer& metrics_;
};

}  // namespace outlive::daemon
