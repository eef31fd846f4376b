// Addresses that outlived listens at for a service that knows nothing of outlive.
//
//   [NAME=]tcp:HOST:PORT   [NAME=]HOST:PORT   [NAME=]udp:HOST:PORT   [NAME=]unix:PATH
//
// HOST is an IPv4 address, an IPv6 address in brackets, or empty (all IPv4 addresses): names are
// not resolved, a resolver could block.
#pragma once

#include <sys/socket.h>

#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace outlive::daemon {

struct ListenAddress {
  std::string name;  // for LISTEN_FDNAMES; "unknown" when none is given, as sd_listen_fds says
  std::string text;  // as written, without the name
  int domain = 0;
  int type = 0;
  sockaddr_storage address{};
  socklen_t length = 0;
  uint16_t port = 0;  // 0 for unix
  // A path in the file system: binding to it may block, so machine::Opener does it.
  bool at_path() const;
  std::string path() const { return text.substr(sizeof "unix:" - 1); }
};

// EINVAL names the part that is wrong.
Result<ListenAddress> parse_listen_address(const std::string& text);
// EACCES: a port below 1024 or a Unix path for a uid that isn't ours (`uid`): outlived must not
// lend its own rights.
Status may_listen(const ListenAddress& address, uint64_t uid);
// Its socket, not bound yet.
Result<UniqueFd> listener_socket(const ListenAddress& address);
// Once it is bound: listening (backlog 4096), not CLOEXEC.
Status start_listening(BorrowedFd socket, const ListenAddress& address);
// All of it. Not of one that is at_path().
Result<UniqueFd> open_listener(const ListenAddress& address, uint64_t uid);

// Where a Unix socket is bound; "": it is none, or has no path.
std::string local_path(BorrowedFd socket);

}  // namespace outlive::daemon
