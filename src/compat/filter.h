// The seccomp filter of a program under compat: which of its system calls the supervisor sees.
//
//   open openat creat            unless O_DIRECTORY: no walk over a tree costs anything
//   openat2 access faccessat*    always
//   stat lstat readlink          always; getxattr and lgetxattr too
//   newfstatat statx             by path from the working directory; relative to a descriptor only
//   readlinkat                   when links are followed (find, du and rm don't), never by "" alone
//   ioctl                        all but FIOCLEX, FIONCLEX, FIONBIO (the same for every file) and
//                                KVM's (type 0xAE: a virtual CPU makes a million a second)
//   connect                      a service manager's sockets are refused, see services.h
//   reboot kexec_load kexec_file_load   always; they never reach the kernel
//
// Without being seen: io_uring_setup and calls by the x32 table are ENOSYS, the 32-bit table ends
// the process (SIGSYS), kill(1, real-time signal) is EPERM: to systemd that means kexec, among
// others. All else costs nothing: the kernel knows by the call's number alone that it is allowed.
//
// By hand, not by libseccomp: 2.5 can neither set WAIT_KILLABLE_RECV nor compare "masked and not
// equal".
#pragma once

#include "base/result.h"
#include "base/unique_fd.h"

namespace outlive::compat {

// Puts the calling thread and all it starts under the filter, for good. The listener. EBUSY: there
// is a listener already (compat inside compat). Once a thread's request was received, only a deadly
// signal interrupts it (Linux 5.19): else a signal would have it repeated, after it was done.
Result<UniqueFd> install_filter();

}  // namespace outlive::compat
