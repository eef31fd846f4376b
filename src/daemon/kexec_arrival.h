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
// All at once:  the same, where a service manager keeps descriptors (kernel_store.h). The kernel
//               gives out a file as often as it is asked for, until its session is finished: also
//               when nobody has it open any more. In the order of what has happened then:
//
//   so far                           in the fd store                   the next start
//   nothing is retrieved             -                                 as ever
//   session "outlived" is            it                                adopts, the others are still
//                                                                      in the device
//   some others are                  these, too; direct ones: as       adopts: from the store and
//                                    "o.N"                             from the device
//   files are, records are changed   all sessions                      adopts, into a new arena
//   kSettled, files are stored       files "o.N", too                  forgets them, adopts: they
//                                                                      are the kernel's as well
//   the arena is stored              everything                        attaches; finishes; removes
//   all or some are finished         everything                        the same: again is nothing
//   sessions are removed             what is there always              attaches
//
//               Between RETRIEVE_SESSION and the message to the manager, two system calls, that one
//               session is nobody's: it is lost with all processes, and so its files are (EIO).
// Unhappy path: a file that didn't cross answers EIO for ever, as one that a service manager lost.
//               The arena can't be read: nothing is finished, and the kernel still has it all, as
//               long as the table is there, or the fd store. Likewise where sessions came without
//               "outlived", or one in the fd store is for a kexec that didn't come.
#pragma once

#include "daemon/worker.h"

namespace outlive::daemon {

// Before the worker is confined. Why it can't be read is `input.machine_refused` afterwards.
// A binary that takes over commits first: what it retrieves can't be given back.
void take_arrival(WorkerInput& input, machine::WorkerContext& context);
// What came and was refused isn't to be asked for again, nor handed over again at the next start:
// it goes on without, or an operator has ended it.
void forget_arrival(const WorkerInput& input, machine::Control& control);

}  // namespace outlive::daemon
