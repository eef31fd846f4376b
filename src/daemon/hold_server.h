// What answers when nothing else may: inherited state that was refused, or a worker that died too
// often. Only control.sock, only Status (state undefined, the reason) and Metrics; after deaths
// also UpdateOutlived: another binary is the way out. Everything else ESTALE. And the metrics'
// listener, if there was one. A refusal is reported to the fleet, before anything else is done
// about it (fleet_report.h).
//
// Refused state: the device's socket is removed, new clients get ENOENT. A worker that died too
// often: the socket stays, clients connect and wait, and are answered once a worker serves again.
// At most 64 connections: the one that has been idle for the longest makes room. What clients send
// along, and the connections themselves, are closed by a closer: that may block.
#pragma once

#include <string>

#include "base/unique_fd.h"
#include "daemon/config.h"
#include "machine/process/control.h"
#include "wire/runtime_dir.h"

namespace outlive::daemon {

struct HoldInput {
  machine::Control& control;
  const wire::RuntimeDir& runtime;
  BorrowedFd control_listener;
  std::string reason;
  bool refused;  // inherited state; false: deaths
  BorrowedFd arena;
  const Config& config;
  bool reboots = false;  // the command is run meanwhile (rebooter.h)
};

// Serves until a stop is asked for; the exit code of the worker. Ends the process where another
// binary takes over.
int hold(const HoldInput& input);

}  // namespace outlive::daemon
