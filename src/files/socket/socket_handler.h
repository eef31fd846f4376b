// SocketHandler: listeners, connections, pairs and datagram sockets, "outlive-socket-v1". A socket
// is its inode, and is preserved once only: two successors reading one stream would both lose.
//
// While it is held the peer sees no EOF, whatever its owner closes: see docs/architecture.md.
#pragma once

#include "files/keep_handler.h"

namespace outlive::files {

class SocketHandler : public KeepHandler {
 public:
  const char* compatible() const override { return "outlive-socket-v1"; }
  bool can_preserve(const luo::FileFacts& facts) const override;
  bool exclusive(const luo::FileFacts&) const override { return true; }
};

}  // namespace outlive::files
