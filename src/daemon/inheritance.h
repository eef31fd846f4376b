// The arena that a worker finds at its start: blank, another worker's, or one that is refused.
//
// Happy path:   is_blank() or not -> Worker::attach()
// Unhappy path: the attach is refused: EpochKept::put_back(), so that no byte differs, and then the
//               policy: make_way() ([liveupdate] on-incoming-failure = "fresh"), or it is held.
// Threads: the worker's only one; nobody has the arena mapped.
#pragma once

#include <string>

#include "base/unique_fd.h"
#include "machine/process/control.h"

namespace outlive::daemon {

// An arena that nobody has formatted yet is all holes.
bool is_blank(BorrowedFd arena);

// The header's count of attaches as it was: an attach that is refused is none.
class EpochKept {
 public:
  explicit EpochKept(BorrowedFd arena);
  void put_back() const;

 private:
  BorrowedFd arena_;
  uint64_t epoch_ = 0;
  bool known_ = false;
};

// What was refused is saved below `state_dir`, and then it is gone. False: it can't be saved, so it
// stays; the log says why.
bool make_way(BorrowedFd arena, const std::string& state_dir, machine::Control& control);

}  // namespace outlive::daemon
