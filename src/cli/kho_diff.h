// outlive kho diff: two dumps (`kho dump --json`), field by field. Only in builds with
// OUTLIVE_KHO_DEBUG.
#pragma once

#include <string>

#include "cli/cli.h"

namespace outlive::cli {

// kExitOk: nothing differs; kExitFailed: something does.
Result<int> run_diff(Cli& cli, const std::string& before, const std::string& after);

}  // namespace outlive::cli
