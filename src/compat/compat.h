// compat: runs an unmodified program so that it sees /dev/liveupdate with the kernel's semantics.
//
//     outlive compat -- CMD            waits, forwards signals, exits as CMD does
//       |-- holder                     the device: luo::Core over an arena of its own (device.h)
//       |      ^ socket, abi/compat.h; a named device's holder outlives the run
//       |      v
//       `-- supervisor                 answers CMD's system calls (supervisor.h)
//              `-- CMD and all that it starts, under a seccomp filter (filter.h)
//
// Happy path:   1. CMD installs the filter, hands its listener to the supervisor, and execs.
//               2. open("/dev/liveupdate"): the kernel stops the thread and tells the supervisor,
//                  who reads the path once (caller.h), asks the holder, and puts one end of a
//                  socket pair into the program (handles.h): that is the device. Sessions likewise.
//               3. ioctl: the supervisor takes a copy of the descriptor (pidfd_getfd) and knows it
//                  by its socket cookie; checks arguments in the kernel's order (arguments.h); the
//                  holder does the request on the core that outlived uses.
//               4. The last copy of a descriptor is closed, by whomever: the other end of the pair
//                  hangs up, and the holder ends what it stood for. It looks at hang-ups before
//                  every request, so a close that came before a call is done before it.
//               5. reboot(KEXEC), or `--reboot`: files are frozen and copied into new ones,
//               outgoing
//                  becomes incoming, the descriptors of before are dead (kexec.h).
// Unhappy path: a program dies in the middle: its descriptors hang up; a notification that nobody
//               waits for any more is dropped. The command is killed: so is CMD. The supervisor
//               dies: CMD is killed, and whatever it left behind finds its filtered calls answered
//               with ENOSYS; a device that has no name goes with it. The holder dies: there is no
//               device any more (ENOENT, ENODEV).
// Not a jail:   a program that tries can hide a path from the filter (another thread rewrites it,
// or
//               it names the device relative to a directory in a way that filter.h lets through).
//               What it finds then is what the machine has at /dev/liveupdate: mostly nothing.
//               reboot and kexec are never let through, whatever it does.
// Locks: none; every process here has one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace outlive::compat {

// Whose rules: 6.19 has no GET_NAME and doesn't keep seals.
enum class Kernel : uint32_t { k619 = 619, k703 = 703 };

struct Options {
  std::string socket;  // of a named device, "": a device for this run only
  bool kernel_given = false;
  Kernel kernel = Kernel::k703;
  std::string faults;  // "": leave as they are
  std::vector<std::string> command;
  BorrowedFd interrupt;  // a signalfd: what is sent to us is passed on to the program
  std::function<void(std::string_view)> warn;  // told why the program can't be executed
};

// The program's exit code, or 128 + its signal; 127 and 126 when it can't be executed.
Result<int> run(const Options& options);

// All outgoing sessions become incoming. The live update number from here on. ENOENT: no device.
Result<uint64_t> reboot(const std::string& socket);
// The device is gone with all that it holds; returns when it is. ENOENT: no device.
Status stop(const std::string& socket);

}  // namespace outlive::compat
