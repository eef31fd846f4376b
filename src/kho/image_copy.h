// Copies of an arena's file: for what must not touch the original, and for post-mortems.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace outlive::kho {

// All bytes of `from` into the empty file `to`, as sparse as can be: holes and pages of zeros
// become holes. Both are seekable; the offsets don't matter.
Status copy_image(BorrowedFd from, BorrowedFd to);
// The same without giving `to` a size: it is as large as it needs to be, and has no data yet.
// Only of the first `most` bytes.
Status copy_into(BorrowedFd from, BorrowedFd to, uint64_t most = UINT64_MAX);
// A private copy in memory, which may be attached.
Result<UniqueFd> private_copy(BorrowedFd from);
// A new file (EEXIST) that only its owner can read, on the disk when this returns; an error leaves
// none.
Status save_image(BorrowedFd from, const std::string& path);

// Makes a file's name in its folder last.
Status sync_folder_of(const std::string& path);

}  // namespace outlive::kho
