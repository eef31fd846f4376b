// NOTIFY_SOCKET: how a service that knows nothing of outlive says READY=1, STOPPING=1 and FDSTORE=1
// (sd_notify(3)). One datagram socket a process, named by its instance, so a message's sender is
// known by where it arrives; the socket's fd is in the process's record.
#pragma once

#include <map>

#include "daemon/parts.h"

namespace outlive::daemon {

class Supervisor;

class NotifySockets {
 public:
  NotifySockets(Parts& parts, Supervisor& supervisor) : parts_(parts), supervisor_(supervisor) {}
  // Bound and watched; only this user may send to it. The fd goes into the record.
  Result<UniqueFd> make(uint64_t instance, uint64_t uid);
  std::string path(uint64_t instance) const;
  // Watches one that a record names.
  void watch(BorrowedFd socket, uint64_t instance);
  // Unlinks the path and gives the fd to the closer.
  void drop(BorrowedFd socket, uint64_t instance);

 private:
  void readable(BorrowedFd socket, uint64_t instance);
  void message(uint64_t instance, std::string_view text, std::vector<UniqueFd> fds);
  Parts& parts_;
  Supervisor& supervisor_;
};

}  // namespace outlive::daemon
