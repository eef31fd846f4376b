// KernelStore: what the service manager's fd store (fd_store.h) has of what came through a kexec
// while it is adopted (kexec_arrival.h), so that it is there also when all of outlived's processes
// die at once.
//
// Happy path:   keep() each of the kernel's sessions as it is retrieved, settled() before anything
//               is retrieved from them -> keep_adopted(), before they are finished -> drop()
// Unhappy path: the store has no room for all of it, takes nothing or doesn't answer: the log says
//               so, and it is adopted without. What is in it stays there until drop().
// Blocking:     until the manager has taken in what it was told, 30 s at most a call.
// Threads: the worker's only one, before it is confined.
#pragma once

#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "daemon/fd_store.h"
#include "machine/process/control.h"

namespace outlive::daemon {

class KernelStore {
 public:
  // Off: nothing is stored, nothing is dropped.
  KernelStore(bool on, machine::Control& control) : on_(on), control_(control) {}

  // How many descriptors are going to be in it at once; unknown ($FDSTORE): there is room.
  void need_room_for(size_t descriptors);

  using Named = FdStore::Named;
  void keep(const Named& descriptor);
  // When what was told before is there. False: the store isn't used, any more.
  bool settled();
  // `descriptors`, and only when these are there, the arena: who finds it in the store finds them
  // too. True: FdStore needn't store any of them again.
  bool keep_adopted(const std::vector<Named>& descriptors, BorrowedFd arena);
  // The kernel's sessions are out of it. `direct` were among them where another one than outlived
  // has put them there: they are kept as the files that they are now.
  void drop(const std::vector<Named>& direct);

 private:
  bool tell(const std::string& text, BorrowedFd fd = {});
  void go_without(const std::string& why);
  bool beat(uint64_t since_ns) const;

  bool on_;
  bool stores_ = true;
  machine::Control& control_;
};

}  // namespace outlive::daemon
