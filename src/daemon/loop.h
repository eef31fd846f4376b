// The event loop: epoll, whose registrations carry fd and generation and never a pointer: what an
// epoll instance of a dead worker still delivers can hurt nobody (its instance is closed first,
// too).
//
// Threads: the worker's only one. A handler may add, change and remove any fd, its own too.
#pragma once

#include <functional>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace outlive::daemon {

class Loop {
 public:
  using Handler = std::function<void(uint32_t events)>;
  static Result<Loop> create();

  // Level-triggered unless EPOLLET is in `events`. The fd stays the caller's.
  Status add(BorrowedFd fd, uint32_t events, Handler handler);
  Status change(BorrowedFd fd, uint32_t events);
  // Before the fd is closed or given away.
  void remove(BorrowedFd fd);
  // One turn: waits for at most timeout_ns and runs what is due.
  Status turn(uint64_t timeout_ns);
  // When the last turn stopped waiting, by the monotonic clock.
  uint64_t woken_ns() const { return woken_ns_; }
  BorrowedFd fd() const { return epoll_; }
  // What is registered, and the epoll instance itself.
  std::vector<BorrowedFd> fds() const;

 private:
  struct Slot {
    uint32_t generation = 0;
    Handler handler;  // empty: not registered
  };
  explicit Loop(UniqueFd epoll) : epoll_(std::move(epoll)) {}
  UniqueFd epoll_;
  uint64_t woken_ns_ = 0;
  std::vector<Slot> slots_;  // by fd number
};

}  // namespace outlive::daemon
