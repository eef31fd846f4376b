// A descriptor of another process, as our own: the same open file.
#pragma once

#include <sys/types.h>

#include "base/result.h"
#include "base/unique_fd.h"

namespace outlive::machine {

// ESRCH; EBADF; EPERM: only who may trace it.
Result<UniqueFd> foreign_fd(pid_t pid, int number);

}  // namespace outlive::machine
