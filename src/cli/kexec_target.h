// What `outlive kexec` looks at of the kernel to come, before anything is asked of anybody: one
// that takes nothing over would lose everything, and nothing could be done any more.
//
// Compatibility is guaranteed only between kernels of the same formats. Those of the running kernel
// are read from its own image: what it shows in debugfs names Kexec HandOver's and the
// orchestrator's, but no file handler's. Where debugfs does name the orchestrator's, it has to be
// the image's.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "cli/kernel_image.h"

namespace outlive::cli {

struct RunningKernel {
  std::string release;  // as uname(2) says both
  std::string version;
  std::string cmdline;
  std::vector<std::string> formats;
  std::string unknown;  // why `formats` is empty
};

// `image`: the file that it was booted from; "": /boot/vmlinuz-RELEASE, if that is it. EINVAL: it
// is another kernel's. `luo_blob`: where debugfs shows its subtree "LUO".
Result<RunningKernel> running_kernel(
    const std::string& image,
    const std::string& luo_blob = "/sys/kernel/debug/kho/out/sub_fdts/LUO");

// The version in an image's header is the running kernel's.
bool is_version_of(std::string_view version, const RunningKernel& running);

// Why that kernel, with this command line, might lose what crosses; nullopt: it takes over what the
// running one hands on, and gets the words that switch it on. One that can't be looked into has to
// be the running one again.
std::optional<std::string> why_not_target(const KernelImage& target, std::string_view cmdline,
                                          const RunningKernel& running);

// E2BIG: the kernel would refuse it, or cut it off.
Status fits_command_line(const KernelImage& target, std::string_view cmdline);

}  // namespace outlive::cli
