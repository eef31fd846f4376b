// Who is at the other end of a Unix socket, by inode, from the kernel's socket diagnosis: tells the
// nameless client end of a connection from one end of a socketpair().
#pragma once

#include <cstdint>

#include "base/result.h"
#include "base/unique_fd.h"

namespace outlive::files {

class UnixPeers {
 public:
  // EPROTONOSUPPORT: a kernel without unix_diag.
  static Result<UnixPeers> open();
  // The peer's inode. ENOENT: no such socket in our network namespace, or it has no peer.
  Result<uint64_t> peer_of(uint64_t inode) const;

 private:
  explicit UnixPeers(UniqueFd netlink) : netlink_(std::move(netlink)) {}
  UniqueFd netlink_;
};

}  // namespace outlive::files
