// What answers when nothing else may: inherited state that was refused, or a worker that died too
// often. Only control.sock, only Status (state undefined, the reason) and Metrics; after deaths
// also UpdateOutlived: another binary is the way out. Everything else ESTALE. And the metrics'
// listener, if there was one.
//
// Refused state: the device's socket is removed, new clients get ENOENT. A worker that died too
// often: the socket stays, clients connect and wait, and are answered once a worker serves again.
// At most 64 connections: the one that has been idle for the longest makes room. What clients send
// along, and the connections themselves, are closed by a closer: that may block.
#pragma once

#include <string>
#include <vector>

#include "base/unique_fd.h"
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
  uint64_t takeover_tries = 3;                   // NewBinary::tries
  uint64_t lookup_timeout_ns = 0;                // of a new binary
  std::vector<std::string> reboot_command = {};  // to be run meanwhile (rebooter.h); empty: none
  uint64_t reboot_timeout_ns = 0;
};

// Serves until a stop is asked for; the exit code of the worker. Ends the process where another
// binary takes over.
int hold(const HoldInput& input);

}  // namespace outlive::daemon
