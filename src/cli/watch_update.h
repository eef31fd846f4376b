// What `update` and `rollback` have in common: the call that takes its time, and how it ended.
#pragma once

#include <string>

#include "cli/cli.h"

namespace outlive::cli {

// Calls METHOD ("Update", "Rollback") and shows its progress. One line at the end:
//   "updated web: version 3 -> 4, blackout 412 us, 1003 files, 2 sessions (update 5f2a)"
//   "rolled back web: REASON (update 5f2a)"   exit code 3
// Ctrl-C leaves the update running and says so, exit code 130.
Result<int> watch_update(Cli& cli, const char* method, const std::string& name, Json parameters);

}  // namespace outlive::cli
