// The opener's child (opener.h), from the moment when it is the client's user.
#pragma once

#include "base/unique_fd.h"
#include "machine/process/launcher.h"

namespace outlive::machine {

// Its descriptors, and what it is to do with the path.
inline constexpr int kOpenerChannel = 3;
inline constexpr int kOpenerSocket = 4;
inline constexpr char kOpens[] = "open";
inline constexpr char kBinds[] = "bind";

// Looks up what the plan says (abi/control_block.h: kLaunchOpens), sends it, ends. It may wait for
// as long as a file system wants; SIGKILL is the only way out then.
[[noreturn]] void open_for_worker(const LaunchPlan& plan);

}  // namespace outlive::machine
