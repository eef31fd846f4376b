// What a process that shares our table of descriptors may still do after SIGKILL.
//
// It returns to user mode no more. But a call into the kernel that it had begun goes on, and one
// that had no processor at its very entry (a starved machine) closes its number whenever it gets
// one: as late as that, the number may be somebody else's. Only who is dead, or sleeps in the
// kernel in a way that not even SIGKILL wakes, is past that: close(2) takes the number out of the
// table before it waits for anything.
#pragma once

#include "base/unique_fd.h"

namespace outlive::machine {

// True: nothing in the table changes by it any more. Of a process that SIGKILL was sent to. Doesn't
// wait: callers give it some time first. Also true where /proc doesn't tell, or nobody would ever
// be done with it.
bool is_past_harm(BorrowedFd pidfd);

}  // namespace outlive::machine
