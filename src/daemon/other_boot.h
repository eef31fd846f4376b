// What a service manager has kept over the end of a kernel, where that wasn't `outlive kexec`:
// systemd (261 and later) preserves what is in the fd store of a unit with
// FileDescriptorStorePreserve=yes, as far as it can.
//
// Such an arena was never frozen, and most of what its records name hasn't come along: it is
// dropped whole, which is said in the log, and outlived starts empty, as after any other reboot.
#pragma once

#include <array>
#include <cstdint>

#include "daemon/stored_fds.h"
#include "luo/records.h"

namespace outlive::daemon {

using BootId = std::array<uint64_t, 2>;

// Of the kernel that runs; zeros where it doesn't say.
BootId this_boot();
// Once a worker has attached: what the records say is of this boot from here on.
void note_boot(luo::Records& records, const BootId& boot);

// StoredFds::take(), less what is of another boot. An arena that can't be read stays: whoever
// attaches it says why.
Result<StoredFds> take_of_this_boot();

}  // namespace outlive::daemon
