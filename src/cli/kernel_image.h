// What a kernel's image says of the kernel in it: its version, and which formats of Kexec HandOver
// and the Live Update Orchestrator it has. It isn't run, and nothing in it is believed: every
// offset and size is bounded before it is used (abi/kernel_image.h has the formats).
//
// Happy path:   a bzImage is unpacked; an ELF file (vmlinux) and an arm64 Image are looked at as
//               they are.
// Unhappy path: what can't be looked into says why in `unreadable`; its version may be known.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "cli/kernel_payload.h"

namespace outlive::cli {

struct KernelImage {
  std::string version;     // "RELEASE (BUILDER) VERSION", as uname(2) will say both; "": not known
  std::string unreadable;  // why it can't be looked into; "": the rest is known
  std::vector<std::string> formats;  // sorted: "kho-v4", "luo-v5", "memfd-v2"
  // Of the options that live update needs those that its configuration doesn't have, if it carries
  // one: "CONFIG_LIVEUPDATE".
  std::vector<std::string> missing;
  size_t cmdline_size = 0;  // the most of its command line, with the zero at its end; 0: not known
};

// The error: the file can't be read at all.
Result<KernelImage> read_kernel_image(BorrowedFd file);
Result<KernelImage> read_kernel_image(const std::string& path);

// Of an unpacked kernel.
std::vector<std::string> formats_in(Bytes kernel);
std::vector<std::string> missing_in(Bytes kernel);

}  // namespace outlive::cli
