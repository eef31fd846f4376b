// The two ways out of a kernel.
#pragma once

#include <string>

#include "base/result.h"

namespace outlive::guest {

// Which kernel of this machine's life runs now: 1, or what the one before it has written.
Result<int> read_stage();

// Into `kernel` with `initrd` and the running command line, as the next stage. Preserved sessions
// cross. Comes back only with an error: the kernel refused, and everything is as it was.
Error kexec_into(const std::string& kernel, const std::string& initrd);

// Only what comes before: the next kexec, whoever makes it, is into that kernel.
Status load_kernel(const std::string& kernel, const std::string& initrd);

// Ends the machine: it was started with -no-reboot.
Error power_off();

}  // namespace outlive::guest
