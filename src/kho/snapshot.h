// A copy of an arena at one moment, in a file of its own: what a rehearsal, or whoever wants to try
// something, works on. Only the extents that the file has are copied, by the kernel.
//
// The arena's position in the file is moved; it means nothing to anybody.
// Threads: nobody may change the arena meanwhile (the worker makes it between two requests).
#pragma once

#include "base/result.h"
#include "base/unique_fd.h"

namespace outlive::kho {

// As Arena::create_file's, CLOEXEC. ENOSPC, ENOMEM.
Result<UniqueFd> snapshot(BorrowedFd arena);

}  // namespace outlive::kho
