// systemd as what carries sessions of the kernel to the next kernel (version 261 and later): in the
// fd store of a unit with FileDescriptorStorePreserve=yes, by `systemctl kexec`. After it they are
// in that store again, if the unit still says so when the next systemd reads it: else it drops
// them.
//
// Happy path:   find() -> check_room() -> put() -> systemctl_kexec()
// Unhappy path: what was put is taken back by outlived (daemon/hand_over.h). What isn't sure to be
//               in the store is an error: systemd drops what it can't take, and only logs it.
#pragma once

#include <span>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace outlive::cli {

class SystemdStore {
 public:
  // Of the unit whose main process that is. EOPNOTSUPP: it can't carry sessions, and why.
  static Result<SystemdStore> find(pid_t main_process, const std::string& notify_socket);
  const std::string& unit() const { return unit_; }
  // ENOSPC: not for so many more.
  Status check_room(size_t sessions) const;
  // In the name of the main process: only a process of the unit may, or root for one.
  Status put(std::span<const BorrowedFd> sessions) const;

 private:
  SystemdStore() = default;

  std::string unit_;
  std::string notify_socket_;
  pid_t main_process_ = 0;
  uint64_t most_ = 0;
  uint64_t stored_ = 0;
};

// Into the kernel that is loaded. From its success on nothing stops it: it comes back before the
// first service is stopped.
Status systemctl_kexec();

}  // namespace outlive::cli
