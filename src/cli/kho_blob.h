// A blob of KHO or LUO as JSON, in any version that abi/kernel_blobs.h lists, and as text. Only in
// builds with OUTLIVE_KHO_DEBUG.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cli/cli.h"
#include "kho/root_fdt_format.h"

namespace outlive::cli {

// Told by what is in it: a root FDT, the subtree LUO, memblock. EPROTO names another version.
Result<Json> blob_json(std::span<const std::byte> bytes);
// Where its name is known too: kexec-metadata has no name in it.
Result<Json> subtree_json(std::string_view name, std::span<const std::byte> bytes);
Json subtrees_json(const std::vector<kho::Subtree>& subtrees);

// The fields that are neither null nor lists, a line each.
std::string blob_text(const Json& blob);
// What subtrees_json() makes.
Result<std::string> subtree_table(const Json& subtrees);

}  // namespace outlive::cli
