// The kernel's LUO format (abi/luo.h), written from the records: at a host or kernel freeze, and
// for dumps. Derived: nobody reads it back but dump readers. It names files and sessions, so it
// goes with the first of them that goes, and at every attach.
#pragma once

#include <set>

#include "luo/core.h"

namespace outlive::luo {

// Writes sessions, files and FLBs into fresh blocks (owner kOwnerLuoFormat), points the subtree
// "LUO" at them in one step and frees the ones before. ENOSPC leaves the old ones.
Status write_kernel_format(Core& core);
// Takes the subtree away and frees its blocks.
void drop_kernel_format(Context& context);
// The blocks that the subtree "LUO" reaches: for fsck. EUCLEAN, EPROTO.
Result<std::set<uint64_t>> kernel_format_pages(Records& records);

}  // namespace outlive::luo
