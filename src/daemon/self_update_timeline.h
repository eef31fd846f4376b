// Updates of outlived itself, as `outlive timeline` and `outlive list updates` show them: beside
// those of services, from the last takeovers' times (abi/takeover.h).
//
//   outlived    rehearsal    asked for, until the new binary's rehearsal has said ok
//   old         stop         until the old worker answers nobody any more
//   outlived    blackout     until the first worker answers again, of whichever binary
//   old         leave        the blackout's parts: until the exec,
//   outlived    exec         until the new binary's main begins,
//   successor   attach       until its worker has the arena, and there is no way back,
//   successor   ready        until it answers
//   outlived    rolled back  the point at which the old binary went on
//   outlived    went back    on probation: until the binary before answers
//
// Their ids are "outlived-NUMBER", which no hexadecimal id of a service's update is.
// Unhappy path: what a binary without these words has done isn't there, or some of its steps are
// not. Threads: one; reads only.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/self_update.h"

namespace outlive::daemon {

class SelfUpdateTimeline {
 public:
  explicit SelfUpdateTimeline(const SelfUpdate& self) : self_(self), takeover_(self.takeover()) {}

  // Those that are remembered, the newest first. A rehearsal for others' sake is none, nor is going
  // back: it belongs to the update that it undoes.
  std::vector<uint64_t> numbers() const;
  // nullopt: no such id, or forgotten.
  std::optional<uint64_t> find(std::string_view id) const;
  uint64_t started_ns(uint64_t number) const;  // CLOCK_REALTIME
  bool asked_by(uint64_t number, const uint64_t (&request_id)[2]) const;
  // Of one of numbers(): as UpdateSummary and Timeline's reply (abi/orchestrator_varlink.h) say.
  wire::Json summary(uint64_t number) const;
  wire::Json timeline(uint64_t number) const;

 private:
  const abi::TakeoverOutcome* outcome(uint64_t number) const;
  bool runs(uint64_t number) const;

  const SelfUpdate& self_;
  const machine::Takeover& takeover_;
};

}  // namespace outlive::daemon
