// Finding outlived: which sockets are tried, and what it means when none answers.
#pragma once

#include <optional>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "wire/runtime_dir.h"

namespace outlive::client {

// Connects to the first device socket that answers. nullopt: outlived is not running anywhere, and
// `optional` was asked for. ENOENT: the same without `optional`; the text has the paths.
// ESTALE: outlived runs, but holds inherited state that it refused (always an error: nobody starts
// empty over state that is being held). EAGAIN: it is starting. EACCES, EPERM: a door is closed.
Result<std::optional<UniqueFd>> connect_device(
    const std::optional<std::string>& runtime_dir, bool optional,
    const wire::RuntimeEnvironment& environment = wire::runtime_environment());

}  // namespace outlive::client
