// outlive kho save FILE.
#pragma once

#include "cli/cli.h"

namespace outlive::cli {

// The file must not exist (EEXIST); only its owner can read it, for it has everybody's state.
Result<int> run_save(Cli& cli, const std::string& path);

}  // namespace outlive::cli
