// Link: a supervisor's, or the command's, side of the connection to a holder.
#pragma once

#include <string_view>

#include "compat/compat.h"
#include "compat/packet.h"

namespace outlive::compat {

class Link {
 public:
  explicit Link(UniqueFd socket) : socket_(std::move(socket)) {}
  // ENOENT: nobody holds a device there.
  static Result<Link> connect(const std::string& socket);

  struct Reply {
    abi::CompatAnswer answer;
    UniqueFd fd;
    abi::CompatKind kind() const { return static_cast<abi::CompatKind>(answer.kind); }
  };
  // The holder's error, or ENODEV: it is gone.
  Result<Reply> ask(abi::CompatAsk ask, BorrowedFd fd = {});
  Result<Reply> ask(abi::CompatRequest request, std::string_view text = {});
  // What a descriptor is. A holder that is gone has none, and there is no device.
  abi::CompatKind look(uint64_t cookie);
  // Returns when the other side has left.
  void wait_until_closed();

  BorrowedFd fd() const { return socket_; }
  UniqueFd take() { return std::move(socket_); }

 private:
  UniqueFd socket_;
};

abi::CompatAsk make_ask(abi::CompatRequest request);

}  // namespace outlive::compat
