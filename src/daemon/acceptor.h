// Acceptor: takes new connections off a listener, a few in a turn.
//
// Nobody can say whose the next one is before it is accepted, and all users share the backlog. So
// every one is taken, at its user's expense (throttle.h); but when only users come who have had
// their share, the listener rests for a while, and more of them wait in the backlog.
//
// Threads: one.
#pragma once

#include <sys/socket.h>

#include <functional>
#include <memory>
#include <vector>

#include "daemon/parts.h"

namespace outlive::daemon {

class Acceptor {
 public:
  // `take_on` owns the connection from then on; the user is charged for what it does.
  Acceptor(Parts& parts, std::function<void(UniqueFd, const ucred&)> take_on)
      : parts_(parts), take_on_(std::move(take_on)) {}
  // The listener stays the caller's.
  Status start(BorrowedFd listener);
  // The supplementary groups of who connected; nullptr: none.
  static std::shared_ptr<const std::vector<uint64_t>> groups_of(BorrowedFd connection);
  // One that was accepted by somebody else: a dead worker.
  void accepted(UniqueFd connection);
  // Each turn, after those who are there have been served.
  void accept_some();
  // Each turn.
  void resume(uint64_t now_ns);
  // When resume() has something to do; 0: never.
  uint64_t next_ns() const { return listen_again_ns_; }

 private:
  void rest(uint64_t now_ns);

  Parts& parts_;
  const std::function<void(UniqueFd, const ucred&)> take_on_;
  BorrowedFd listener_;
  bool come_ = false;             // somebody waits in the backlog
  uint64_t in_wait_ = 0;          // accepted in a row, of users who have to wait
  uint64_t listen_again_ns_ = 0;  // 0: it listens
};

}  // namespace outlive::daemon
