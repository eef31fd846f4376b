// `outlive update outlived`: outlived replaces itself.
#pragma once

#include <string>

#include "cli/cli.h"

namespace outlive::cli {

// `binary` empty: the file at the path of the one that runs. Shows the steps, prints the outcome.
Result<int> update_outlived(Cli& cli, const std::string& binary, bool force);

}  // namespace outlive::cli
