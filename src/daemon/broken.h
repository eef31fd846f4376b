// The bad binaries: what the next outlived may do wrong, on purpose, so that its update is refused
// or rolled back (tests/e2e/self_update_broken.py). Compiled into `outlived-broken` alone
// (OUTLIVE_BROKEN); in outlived every call is nothing.
//
// The name of its file says how: outlived-broken.MODE.
//   rehearsal   aborts in the rehearsal         hang-rehearsal   never answers in it
//   version     takes the arena for one of a version that it doesn't read
//   exec        aborts after the exec           hang             never gets ready after the exec
//   worker      its worker aborts before the commit
//   later       worker and keeper abort one second after it serves
//   crashing    every worker aborts as soon as it serves
#pragma once

#include "base/unique_fd.h"

namespace outlive::daemon {

enum class BreakAt { kRehearsal, kExec, kWorker, kServing };

#ifdef OUTLIVE_BROKEN
void break_at(BreakAt place);
void break_image(BorrowedFd image);
#else
inline void break_at(BreakAt) {}
inline void break_image(BorrowedFd) {}
#endif

}  // namespace outlive::daemon
