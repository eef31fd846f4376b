// Closer: closes clients' files for the worker, which must never do it itself: close(2) can block
// on the file (SO_LINGER, FUSE), and the client chooses how long.
//
//   close(fd) -> queue -> pipe -> a process on the same fd table closes -> count in shared memory
//
// Users take turns, and a close that others wait for has less time: who sends sockets by the
// thousand whose closes block delays his own. Nothing is lost by a short time: the number is free,
// and the kernel goes on with the file by itself.
//
// Unhappy path: the process is killed by somebody else: what it hadn't closed yet is closed by the
// next one, also the fd that it was about to close. One close takes longer than the time-out: that
// process is killed (a killed close has freed its number: close(2) takes it out of the table
// first), and another one does the rest. One that not even SIGKILL ends is inside the kernel for
// good and is left there.
//
// Threads: the worker's only one. Nothing here blocks.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "base/sys.h"
#include "base/unique_fd.h"
#include "machine/process/control.h"

namespace outlive::machine {

class Closer {
 public:
  explicit Closer(Control& control, uint64_t timeout_ns = 500'000'000);
  Closer(const Closer&) = delete;
  Closer& operator=(const Closer&) = delete;
  // Kills its process. What is still queued stays open: an orphan, closed at the next attach.
  ~Closer();

  // Gives the fd away: no record may name it any more, and nobody may use the number.
  void close(BorrowedFd fd);
  // Takes the next message off a socket, with descriptors that this table has no room for: the
  // kernel closes them there and then. `done` is called by a later tick. The fd stays the caller's.
  void take_message(BorrowedFd socket, std::function<void()> done);
  // Ends its process if that has nothing to do; the next close makes another one. Returns at once.
  void rest();
  // Whose the next ones are.
  void charge(uint64_t uid) { uid_ = uid; }
  // Moves the queue on and watches the time-out: each turn, and at least every timeout / 4 while
  // pending() is not 0.
  void tick(uint64_t now_ns);
  size_t pending() const { return queued_ + sent_.size(); }
  // Until the next tick, while pending() is not 0: shorter when many wait.
  uint64_t wait_ns() const;
  uint64_t closed() const { return closed_; }      // in all
  uint64_t timeouts() const { return timeouts_; }  // closes that were killed
  // All that it has open, and what it is to close.
  std::vector<BorrowedFd> fds() const;
  pid_t pid() const;  // 0: no process now

  // Is this number in use: named by a record, or of the machine itself? Asked when a process was
  // killed in a close that may have been done or not. Unset: every number is.
  std::function<bool(BorrowedFd)> in_use;

 private:
  struct Process;
  struct Job {
    uint64_t uid;
    BorrowedFd fd;
    std::function<void()> done;  // set: take a message; else close
    int code() const;
  };
  void put(Job job, bool first);
  Job next_job();
  uint64_t patience() const;
  void finish(Job& job);
  template <typename Jobs>
  void put_back(Jobs& jobs);
  void move_on(uint64_t now_ns);
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
  uint64_t uid_ = 0;
  std::map<uint64_t, std::deque<Job>> queues_;  // by uid, not handed to the process yet
  size_t queued_ = 0;                           // in all of them
  uint64_t last_uid_ = 0;                       // whose turn it was
  std::deque<Job> sent_;                        // in its pipe, in order
  std::unique_ptr<Process> process_;
  std::vector<UniqueFd> stuck_;                  // pidfds of killed ones that don't end
  std::vector<std::function<void()>> finished_;  // to be called by this tick
  uint64_t next_complaint_ns_ = 0;
  bool killed_by_us_ = false;  // the process in process_
  uint64_t closed_ = 0;
  uint64_t timeouts_ = 0;
};

}  // namespace outlive::machine
