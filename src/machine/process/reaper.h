// Reaper: the keeper's duty to its children other than worker and spare. Launched ones are reported
// in the exit ring; strangers (orphans of services, old closers) are just reaped.
//
// A launched child's exit is written into the ring before the child is reaped, so that a keeper
// that dies in between loses nothing. After a takeover the children of the dead keeper are not
// ours to wait for: their pidfds tell that they ended and, since Linux 6.15, how.
#pragma once

#include <poll.h>

#include <cstdint>
#include <vector>

#include "machine/process/control.h"

namespace outlive::machine {

// How a process ended that is not ours to wait for: of one that its parent has reaped since Linux
// 6.15, of one that still waits for it (a zombie) if it is of our uid.
std::optional<ChildExit> exit_of_pidfd(pid_t pid, BorrowedFd pidfd);
std::optional<ChildExit> exit_of_zombie(pid_t pid);

class Reaper {
 public:
  explicit Reaper(Control& control) : control_(control) {}

  // After a takeover: watches the launched children of the dead keeper.
  void adopt();
  // Reaps all that can be reaped, but worker and spare.
  void turn(uint64_t now_ns);
  // What to wait for beside SIGCHLD; the answer is the longest time to wait, in ms.
  int add_waits(std::vector<pollfd>* waits, int timeout_ms) const;

 private:
  struct Adopted {
    pid_t pid = 0;
    BorrowedFd pidfd;
    uint64_t ended_ns = 0;  // when its end was first seen, 0: it runs
  };
  void turn_adopted(uint64_t now_ns);
  // Those that the worker has entered itself: of another outlived's launching.
  void look_for_taken_on();
  // True: reported.
  bool report_adopted(Adopted& child, uint64_t now_ns);

  Control& control_;
  std::vector<Adopted> adopted_;
  uint64_t taken_on_ = 0;  // of ControlBlock::children_taken_on, as last seen
};

}  // namespace outlive::machine
