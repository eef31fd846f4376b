// What came through a kexec (machine/kernel/carry.h), made into what a worker finds at every start:
// an arena whose records are true in this table of descriptors.
//
// Happy path:   the update of scope kernel is committed; files are open, under the numbers that
//               their records now have; processes and connections are gone, sessions wait to be
//               claimed. Everything is finished with the kernel: from here on the leases are ours.
// Unhappy path: a file that didn't cross answers EIO for ever, as one that a service manager lost.
//               An error: the arena can't be read; nothing is finished, and the kernel still has
//               it all.
#pragma once

#include "base/result.h"
#include "base/unique_fd.h"

namespace outlive::daemon {

// The arena; not valid: nothing of outlived's came from the kernel before. Before the first clone;
// the files belong to the table then.
Result<UniqueFd> take_arrival(BorrowedFd device);

}  // namespace outlive::daemon
