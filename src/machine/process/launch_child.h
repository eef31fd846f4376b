// The launched child, from clone to exec.
#pragma once

#include "machine/process/launcher.h"

namespace outlive::machine {

// Leaves the shared table, waits at its gate, becomes the service (or looks up a path for the
// worker: opener_child.h). In the child of clone_files
// only. What fails is one line on the child's stderr (the service's log) and exit code 127, 126 for
// EACCES; kGateClosedCode when the gate was closed instead of opened.
inline constexpr int kGateClosedCode = 125;
[[noreturn]] void run_launched_child(const LaunchPlan& plan, const LaunchWindow& window);

}  // namespace outlive::machine
