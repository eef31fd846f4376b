// Closer: closes clients' files for the worker, which must never do it itself: close(2) can block
// on the file (SO_LINGER, FUSE), and the client chooses how long.
//
//   close(fd) -> queue -> pipe -> a process on the same fd table closes -> count in shared memory
//
// Unhappy path: the process is killed by somebody else: what it hadn't closed yet is closed by the
// next one, also the fd that it was about to close. One close takes longer than the time-out: that
// process is killed (a killed close has freed its number: close(2) takes it out of the table
// first), and another one does the rest. One that not even SIGKILL ends is inside the kernel for
// good and is left there. Threads: the worker's only one. Nothing here blocks.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "base/sys.h"
#include "base/unique_fd.h"
#include "machine/process/control.h"

namespace outlive::machine {

class Closer {
 public:
  explicit Closer(Control& control, uint64_t timeout_ns = 2'000'000'000);
  Closer(const Closer&) = delete;
  Closer& operator=(const Closer&) = delete;
  // Kills its process. What is still queued stays open: an orphan, closed at the next attach.
  ~Closer();

  // Gives the fd away: no record may name it any more, and nobody may use the number.
  void close(BorrowedFd fd);
  // Moves the queue on and watches the time-out: each turn, and at least every timeout / 4 while
  // pending() is not 0.
  void tick(uint64_t now_ns);
  size_t pending() const { return queue_.size() + sent_.size(); }
  uint64_t closed() const { return closed_; }      // in all
  uint64_t timeouts() const { return timeouts_; }  // closes that were killed
  pid_t pid() const;                               // 0: no process now

  // Is this number in use: named by a record, or of the machine itself? Asked when a process was
  // killed in a close that may have been done or not. Unset: every number is.
  std::function<bool(BorrowedFd)> in_use;

 private:
  struct Process;
  bool start(uint64_t now_ns);
  void send();
  void collect(uint64_t now_ns);
  void give_up(uint64_t now_ns);
  void watch(uint64_t now_ns);
  void bury(uint64_t now_ns);
  bool is_left_open(BorrowedFd fd) const;
  void reap_stuck();

  Control& control_;
  const uint64_t timeout_ns_;
  std::deque<BorrowedFd> queue_;  // not handed to the process yet
  std::deque<BorrowedFd> sent_;   // in its pipe, in order
  std::unique_ptr<Process> process_;
  std::vector<UniqueFd> stuck_;  // pidfds of killed ones that don't end
  bool killed_by_us_ = false;    // the process in process_
  uint64_t closed_ = 0;
  uint64_t timeouts_ = 0;
};

}  // namespace outlive::machine
