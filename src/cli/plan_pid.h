// What becomes of the descriptors of any process: surveyed by this command itself, with the rights
// of who runs it. outlived needs not run, and what can block (a dead network file system) blocks
// only us.
#pragma once

#include "luo/state.h"
#include "wire/varlink.h"

namespace outlive::cli {

// The reply that the method Plan would give. ESRCH, EPERM name the pid and the remedy.
Result<wire::Json> plan_of_pid(int64_t pid, const std::string& scope);

}  // namespace outlive::cli
