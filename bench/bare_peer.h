// BarePeer: the limit that a preserve or retrieve is held against. A forked process with an epoll
// and a SEQPACKET socket, that does nothing but receive fds, or answer with some. A request is as
// long as ours.
//
//   send(fds)      PRESERVE_FD, PRESERVE_MANY: message with fds there, message back
//   receive(count) RETRIEVE_FD, RETRIEVE_MANY: message there, message with fds back
//
// It keeps what it gets until release(). It ends with the socket.
#pragma once

#include <sys/types.h>

#include <span>

#include "base/sys.h"

namespace outlive::bench {

class BarePeer {
 public:
  // `cpu` is the peer's; -1: any.
  static Result<BarePeer> start(int cpu);
  BarePeer(BarePeer&& other) noexcept
      : socket_(std::move(other.socket_)), pid_(std::exchange(other.pid_, -1)) {}
  BarePeer& operator=(BarePeer&&) = delete;
  ~BarePeer();

  Status send(std::span<const BorrowedFd> fds);
  // The fds are the caller's.
  Status receive(std::span<UniqueFd> fds);
  Status release();

 private:
  BarePeer(UniqueFd socket, pid_t pid) : socket_(std::move(socket)), pid_(pid) {}
  UniqueFd socket_;
  pid_t pid_ = -1;
};

}  // namespace outlive::bench
