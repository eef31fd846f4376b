// Supervisor: answers the filtered system calls of a program and of all that it starts.
//
// Happy path:   run() until nobody is left under the filter, also after the program itself has
// ended
//               (a daemon that it left behind goes on). It is their subreaper: they stay its
//               descendants, which is what Yama asks of who reads memory.
// Unhappy path: a call whose caller can't be read (EPERM: undumpable) is let through; a caller that
//               dies in the middle is forgotten; the holder is gone: ENOENT, ENODEV. Whoever waits
//               for the program is killed: so is the program.
// Order:        calls are answered one after the other.
#pragma once

#include <sys/types.h>

#include "compat/arguments.h"
#include "compat/link.h"
#include "compat/notification.h"

namespace outlive::compat {

class Supervisor {
 public:
  // `reports`: gets the program's wait status (int) when it has ended.
  Supervisor(UniqueFd listener, Link link, pid_t program, UniqueFd reports)
      : listener_(std::move(listener)),
        link_(std::move(link)),
        program_(program),
        reports_(std::move(reports)) {}
  // SIGCHLD must be blocked.
  Status run();

 private:
  bool reap(int flags);
  void abandon();
  void serve();
  void answer(const Notification& call);

  // path_calls.cc
  void open(const Notification& call, int directory, uint64_t path, uint64_t flags);
  void open2(const Notification& call);
  void status(const Notification& call, int directory, uint64_t path, uint64_t into, bool extended);
  void access(const Notification& call, int directory, uint64_t path, uint64_t mode);
  void read_link(const Notification& call, int directory, uint64_t path);
  void get_attribute(const Notification& call, uint64_t path);
  bool is_device(const Notification& call, int directory, uint64_t path);
  // ioctl_calls.cc
  void ioctl(const Notification& call);
  void execute(const Notification& call, abi::CompatKind kind, uint64_t cookie);
  Result<int64_t> execute_on(const Notification& call, abi::CompatKind kind, uint64_t cookie);
  // kexec_calls.cc
  void reboot(const Notification& call);
  void load_kernel(const Notification& call);
  void connect(const Notification& call);

  UniqueFd listener_;
  Link link_;
  pid_t program_;
  UniqueFd reports_;
  Kernel kernel_ = Kernel::k703;
};

}  // namespace outlive::compat
