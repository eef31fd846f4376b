// Where the metrics are served: "unix:/PATH", "127.0.0.1:PORT" or "[::1]:PORT". Loopback and Unix
// sockets only: they are not encrypted, and nobody has to say who he is.
#pragma once

#include <string>

#include "base/unique_fd.h"
#include "daemon/listen_address.h"

namespace outlive::daemon {

// EINVAL: no address, or one that other machines reach.
Result<ListenAddress> parse_metrics_address(const std::string& text);
// Bound and listening, not blocking. A Unix socket that nobody listens at any more is replaced; who
// may connect: its owner and group (0660). EADDRINUSE: somebody else is there.
Result<UniqueFd> bind_metrics(const ListenAddress& address);
// Is this listener bound to that address?
bool is_bound_to(BorrowedFd listener, const ListenAddress& address);
// Removes the path that a Unix socket is bound to.
void unlink_bound(BorrowedFd listener);

}  // namespace outlive::daemon
