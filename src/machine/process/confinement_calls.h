// The system calls of a confined worker, as a program for the kernel: which are carried out, which
// kill, which are ENOSYS (confinement.h says why).
#pragma once

#include <linux/filter.h>

#include <vector>

#include "base/result.h"

namespace outlive::machine {

// ENOMEM; EOPNOTSUPP: libseccomp doesn't know this architecture.
Result<std::vector<sock_filter>> compile_call_filter();

}  // namespace outlive::machine
