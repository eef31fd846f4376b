// What a running kernel shows of its KHO state in debugfs: the folder `kho` there, or a copy of it.
// Only reads. A file that can't be decoded hides no other one.
//
// Kernels are known to show three things wrong: out/fdt without its end, no out/fdt after a boot
// with KHO, and as in/sub_fdts/LUO a page that was freed already. Each is said in `notes`, and what
// isn't there is missing here, never guessed.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "kho/root_fdt_format.h"

namespace outlive::kho {

struct KernelSubtree {
  std::string name;
  std::optional<Subtree> entry;                // in the root FDT
  std::optional<std::vector<std::byte>> blob;  // in sub_fdts/
};

// What came from the kernel before ("in"), or what the next one will get ("out").
struct KernelSide {
  std::optional<RootFdtContents> root;
  std::vector<KernelSubtree> subtrees;  // by name
};

// Memory that the next kernel boots in.
struct KernelScratch {
  Phys start;
  uint64_t size = 0;
};

struct KernelState {
  std::optional<KernelSide> in;  // only after a boot with KHO
  std::optional<KernelSide> out;
  std::vector<KernelScratch> scratch;
  std::vector<std::string> notes;
};

// ENOENT: there is no such folder (no debugfs, a kernel without KHO); EACCES: only root may look.
Result<KernelState> read_kernel_state(const std::string& folder);

}  // namespace outlive::kho
