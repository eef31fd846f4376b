// `outlived --check IMAGE`: would this arena be taken?
#pragma once

#include <string>

#include "base/result.h"

namespace outlive::daemon {

inline constexpr int kExitRefused = 78;  // EX_CONFIG: inherited state refused

// Says "clean" or why not; the exit code. The image is only read: a private copy is attached.
Result<int> check_image(const std::string& path);

}  // namespace outlive::daemon
