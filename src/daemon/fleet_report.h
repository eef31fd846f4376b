// [fleet] report: a refusal of inherited state is told to whoever looks after many machines, before
// anything is done about it: the status, as JSON, by HTTP POST (fleet_post.h).
//
// Happy path:   send() -> the keeper launches a process that posts it -> its first try is over ->
//               policy goes on; tries go on beside it.
// Unhappy path: nobody answers: policy waits for one try, and no longer than that may take. It
// can't
//               be launched: a line in the log. The worker that held dies: the next one reports
//               anew.
// Threads: the worker's only one; nothing here waits.
#pragma once

#include <string>

#include "base/unique_fd.h"
#include "daemon/config.h"
#include "machine/process/launch.h"
#include "wire/varlink.h"

namespace outlive::daemon {

class FleetReport {
 public:
  explicit FleetReport(machine::Control& control) : control_(control) {}
  FleetReport(const FleetReport&) = delete;
  FleetReport& operator=(const FleetReport&) = delete;

  // Once; nothing, if no address is configured. `launches` is pumped by whose it is; `status`: what
  // `outlive status --json` says of the refusal.
  enum class Policy { kWaits, kGoesOn };
  void send(machine::LaunchQueue& launches, const Config& config, wire::Json status, Policy policy);
  // Policy waits: the first try isn't over yet. Where it goes on: never.
  bool is_due(uint64_t now_ns);

 private:
  Result<UniqueFd> fill(const std::string& body);
  void launched(const Result<machine::Launched>& result);

  machine::Control& control_;
  UniqueFd channel_;  // says when the first try is over
  UniqueFd theirs_;
  uint64_t until_ns_ = 0;
};

}  // namespace outlive::daemon
