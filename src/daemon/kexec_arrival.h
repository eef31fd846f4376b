// What came through a kexec (machine/kernel/carry.h), made into what a worker finds at every start:
// an arena whose records are true in this table of descriptors. It is a worker's first act, so that
// the keeper, whose table it is, and the spare are there to have it carried on:
//
//   claim, read -> a new arena: the update of scope kernel is committed, files are open under the
//   numbers that its records now have, processes and connections are gone, sessions wait to be
//   claimed -> it takes the arena's number -> kSettled -> finished with the kernel -> kNone
//
// Happy path:   from there on the leases are ours, and the worker attaches as ever.
// A death:      before kSettled all is done anew, from the same sessions, which are still open;
//               after it only what the kernel has yet to be told.
// Unhappy path: a file that didn't cross answers EIO for ever, as one that a service manager lost.
//               The arena can't be read: nothing is finished, and the kernel still has it all, as
//               long as the table is there.
#pragma once

#include "daemon/worker.h"

namespace outlive::daemon {

// Before the worker is confined. Why it can't be read is `input.machine_refused` afterwards.
// A binary that takes over commits first: what it retrieves can't be given back.
void take_arrival(WorkerInput& input, machine::WorkerContext& context);

}  // namespace outlive::daemon
