// Inherited state that was refused, and is made way for: [liveupdate] on-incoming-failure =
// "fresh".
//
// Happy path:   save_image() -> clear_arena(); whoever attaches next finds a blank arena.
// Unhappy path: it can't be saved as a whole (no room, no folder): nothing is left behind, and
//               nothing may be cleared.
// The copy is for a post-mortem (`outlived --check`, `outlive kho dump --image`): descriptors can't
// be saved in a file, so nothing can be started on it.
#pragma once

#include <functional>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace outlive::daemon {

// A complete copy, mode 0600, of the arena's bytes at FOLDER/refused-TIME.arena, on the disk when
// this returns. `beat` is called every few MiB. EEXIST: one of this millisecond is there.
Result<std::string> save_image(BorrowedFd arena, const std::string& folder, uint64_t realtime_ns,
                               const std::function<void()>& beat);

// No byte of it is left. A death in the middle leaves a blank header: whoever finds one clears the
// rest first. Nobody may have it mapped.
Status clear_arena(BorrowedFd arena);

}  // namespace outlive::daemon
