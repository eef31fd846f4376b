// What `outlive kexec` looks at of the kernel to come, before anything is asked of anybody: one
// that takes nothing over would lose everything, and nothing could be done any more.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"

namespace outlive::cli {

// "RELEASE (BUILDER) VERSION" of a bzImage, as uname(2) will say both; "": it is none, which
// kexec_file_load(2) says better. (Linux: Documentation/arch/x86/boot.rst, kernel_version.)
Result<std::string> version_of_image(BorrowedFd image);

// Why the kernel that says this of itself, with this command line, might lose what crosses;
// nullopt: it is the running one (so it has the Live Update Orchestrator, and of the same ABI), and
// gets the words that switch it on.
std::optional<std::string> why_not_target(std::string_view version, std::string_view cmdline,
                                          std::string_view running_cmdline,
                                          std::string_view running_release,
                                          std::string_view running_version);

}  // namespace outlive::cli
