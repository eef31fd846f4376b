// The bytes of a root FDT: reading one, also one that nobody vouches for, and building one.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "kho/phys.h"

namespace outlive::kho {

struct Subtree {
  std::string name;
  Phys data;
  uint64_t size = 0;  // 0: the version doesn't say
};

struct RootFdtContents {
  std::string compatible;
  Phys memory_map;  // root of the page tracker
  std::vector<Subtree> subtrees;
};

// kho-v3, what arenas have. EPROTO names another version, EUCLEAN what is damaged.
Result<RootFdtContents> parse_root_fdt(std::span<const std::byte> bytes);
// What a kernel shows in its debugfs: kho-v1 to kho-v4.
Result<RootFdtContents> parse_kernel_root_fdt(std::span<const std::byte> bytes);
// One page, zero-padded. ENOSPC when it doesn't fit.
Result<std::vector<std::byte>> build_root_fdt(const RootFdtContents& contents);
// 1 to 31 of A-Z a-z 0-9 , . _ + -
bool is_subtree_name(std::string_view name);

}  // namespace outlive::kho
