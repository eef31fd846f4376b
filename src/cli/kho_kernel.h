// outlive kho dump --kernel: what the running kernel shows in debugfs, as JSON and as text. Only in
// builds with OUTLIVE_KHO_DEBUG.
#pragma once

#include <string>

#include "cli/cli.h"

namespace outlive::cli {

// `debugfs`: where it is mounted, or a folder with a copy of its folder `kho`.
Result<Json> kernel_json(const std::string& debugfs);
Result<std::string> kernel_text(const Json& kernel);

}  // namespace outlive::cli
