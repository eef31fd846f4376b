// The records in a table of descriptors that isn't the one they were written in: the service
// manager handed over what it had (stored_fds.h), the rest is gone.
//
// Happy path:   what records name is at its old number. Processes that still run are taken on
//               (Supervisor::take_on_processes), the others have ended.
// Unhappy path: a file that is missing: its token answers EIO for ever, fsck names it, everything
//               else of its session is there. (Was its request not answered yet, that request comes
//               again and brings it: Requests::mend.) A connection that is missing is gone, its
//               session stays claimable. A reply whose descriptor is missing becomes EIO.
// A death:      it begins anew; RecordsRoot::fd_epoch says whether it is over.
#pragma once

#include <vector>

#include "luo/core.h"

namespace outlive::daemon {

struct NewTableReport {
  size_t files_lost = 0;
  size_t connections_lost = 0;
};
// `files`, `connections`: the numbers that are what the records of such mean, sorted. Sets fd_epoch
// to `epoch` at its end. Before anything else that records could name is opened.
NewTableReport enter_new_table(luo::Core& core, const std::vector<int>& files,
                               const std::vector<int>& connections, uint64_t epoch,
                               const Clock& clock);

}  // namespace outlive::daemon
