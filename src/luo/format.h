// The kernel's LUO format (abi/luo.h), written from the records: at a host or kernel freeze, and
// for dumps. Derived: nobody reads it back but dump readers.
#pragma once

#include "luo/core.h"

namespace outlive::luo {

// Writes sessions, files and FLBs into fresh blocks (owner kOwnerLuoFormat), points the subtree
// "LUO" at them in one step and frees the ones before. ENOSPC leaves the old ones.
Status write_kernel_format(Core& core);

}  // namespace outlive::luo
