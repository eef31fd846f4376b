// What must be true when an update finishes: its service's inherited sessions are all adopted or
// finished, and what that leaves fits together. `finish` returns nothing to anybody (only
// can_finish may refuse), so what is broken then is our own: running on past it would leak.
//
// Reads every file record once. Threads: one.
#pragma once

#include "luo/flb.h"
#include "luo/session.h"

namespace outlive::luo {

// EUCLEAN, naming what doesn't fit: a session of the service that is still incoming, or has other
// files than its records say; a file of no session; global state that nobody holds, or others than
// counted.
Status check_finished(Context& context, Sessions& sessions, const Flbs& flbs, uint64_t service);

}  // namespace outlive::luo
