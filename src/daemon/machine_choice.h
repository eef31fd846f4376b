// [machine] kind: whether this outlived is the owner of the kernel's /dev/liveupdate ("kernel"), so
// that what it keeps can cross a kexec, or works without ("process").
//
// Happy path:   auto, kernel: the device is open, and stays open in the shared table, for it has
//               one owner only. auto without one: process.
// Unhappy path: kernel without one, or auto where the kernel could not read what the one before
//               left (EIO, or its log says why there is no device), or where `outlive kexec` has
//               started this kernel (awaited_state.h): `refused`, and [liveupdate]
//               on-incoming-failure says what follows.
#pragma once

#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "daemon/awaited_state.h"
#include "machine/process/control.h"

namespace outlive::daemon {

struct MachineChoice {
  // Before the first clone.
  static MachineChoice make(const std::string& kind, const AwaitedState& awaited,
                            const machine::Control& control);
  // Where it can't be opened: `error` is open_liveupdate()'s, `log` what liveupdate_log() says.
  static MachineChoice without(const std::string& kind, const AwaitedState& awaited,
                               const Error& error, const std::vector<std::string>& log);
  // Of a binary that takes over: the device of the one before.
  static MachineChoice inherit(const machine::Control& control);

  BorrowedFd device;    // of the table; not valid: process
  std::string text;     // for people: "kernel", "process: REASON"
  std::string refused;  // why nobody may be served
};

}  // namespace outlive::daemon
