// Reloader: takes a changed configuration without a restart, by SIGHUP or by an operator's call.
//
// Happy path:   read the file -> check it whole -> open what it needs (regions, the metrics'
//               listener) -> keep its text (Control::keep_config: from here on it is in force) ->
//               apply what can be applied, say what waits
// Unhappy path: anything before the text is kept: the answer and the log say file, line and key,
// and
//               the configuration before goes on.
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

// A new worker's configuration: `started` is what outlived was started with.
Config take_config(const machine::Control& control, const Options& options, Config started);

class Reloader {
 public:
  struct Report {
    std::string path;
    std::vector<std::string> applied;
    std::vector<std::string> pending;
  };
  // `config` is the one in force, which everybody reads.
  Reloader(Parts& parts, Config& config, const Options& options, Supervisor& supervisor,
           MetricsServer& metrics);

  // The metrics' listener, and services that the configuration in force names and nobody has
  // started yet.
  void start();
  // EINVAL: the file is refused; others: what it asks for can't be had.
  Result<Report> reload();
  // The SIGHUPs that have come.
  void tick();

 private:
  Result<Report> try_reload();
  void apply(const ConfigChange& change, Report& report);
  void apply_services(const ConfigChange& change, Report& report);

  Parts& parts_;
  Config& config_;
  const Options& options_;
  Supervisor& supervisor_;
  MetricsServer& metrics_;
};

}  // namespace outlive::daemon
