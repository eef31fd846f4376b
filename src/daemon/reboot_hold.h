// `outlive kexec` has asked for the last time whether everything is frozen, and calls reboot(2). A
// worker that dies now must not be replaced by one that serves: what that acknowledges would not
// cross. So the time is noted in the control block, and the next worker waits.
//
// Happy path:   the machine goes down.
// Unhappy path: reboot(2) has failed, or whoever called it has died: its connection is readable, or
//               hung up; or it has taken too long. Then the worker goes on as any.
#pragma once

#include "machine/process/control.h"

namespace outlive::daemon {

// `until_ns`: CLOCK_MONOTONIC.
void begin_reboot_hold(machine::Control& control, BorrowedFd connection, uint64_t until_ns);
void end_reboot_hold(machine::Control& control);
// A worker's first act: nobody is served meanwhile.
void await_reboot(machine::Control& control);

}  // namespace outlive::daemon
