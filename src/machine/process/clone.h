// clone_files: fork() whose child shares our file descriptor table.
#pragma once

#include <sys/types.h>

#include <cstdint>

#include "base/result.h"

namespace outlive::machine {

// Like fork(): 0 in the child, its pid here, where *pidfd is set, by the kernel and before the
// child runs (so it may lie in shared memory, for those who have to know if we die right now).
// The pidfd is CLOEXEC, in the shared table. The caller has one thread. The child leaves with
// _exit and destroys no UniqueFd that it got from here: it would close it for all.
Result<pid_t> clone_files(int32_t* pidfd);

// What a child of clone_files does first: SIGKILL when its parent dies; leaves if it has already.
void die_with_parent(pid_t parent);

}  // namespace outlive::machine
