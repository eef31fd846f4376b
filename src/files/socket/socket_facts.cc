#include "files/socket/socket_facts.h"

#include <netinet/in.h>
#include <poll.h>
#include <stddef.h>

#include "base/sys.h"
#include "files/printable.h"

namespace outlive::files {
namespace {

using luo::FileKind;

// An option of SOL_SOCKET, or -1. The four that are asked for here are loads without the lock.
int option(BorrowedFd fd, int name) {
  const Result<int> value = sys::get_int_option(fd, SOL_SOCKET, name);
  return value ? *value : -1;
}

using NameCall = int (*)(int, sockaddr*, socklen_t*);

// Only for AF_UNIX: there the kernel needs a reference, no lock. False: the call failed.
bool unix_name_by(NameCall call, BorrowedFd fd, std::string* name) {
  sockaddr_un address{};
  socklen_t length = sizeof address;
  if (call(fd.get(), reinterpret_cast<sockaddr*>(&address), &length) == -1) return false;
  constexpr socklen_t kHead = offsetof(sockaddr_un, sun_path);
  if (length > sizeof address) length = sizeof address;
  const size_t path = length > kHead ? length - kHead : 0;
  *name = unix_name(std::string_view(address.sun_path, path));
  return true;
}

void add_unix_facts(BorrowedFd fd, bool listening, luo::FileFacts& facts) {
  std::string own;
  std::string peer;
  unix_name_by(::getsockname, fd, &own);
  facts.connected = unix_name_by(::getpeername, fd, &peer);
  // A connection has a name at one end, the listener's. Only socketpair() makes two without.
  const bool pair = facts.connected && own.empty() && peer.empty();
  if (listening) {
    facts.kind = FileKind::kUnixListener;
  } else if (option(fd, SO_TYPE) == SOCK_DGRAM) {
    facts.kind = FileKind::kUnixDatagram;
  } else {
    facts.kind = pair ? FileKind::kUnixPair : FileKind::kUnixConnection;
  }
  facts.detail = own.empty() ? std::string(pair ? "unix pair" : "unix") : "unix " + own;
  if (!peer.empty()) facts.detail += " -> " + peer;
}

// tcp_poll looks without the lock. A socket that was never connected, or is closed on both sides,
// says POLLHUP; every other one has a peer.
bool tcp_connected(BorrowedFd fd) {
  pollfd one{fd.get(), POLLIN, 0};
  return ::poll(&one, 1, 0) >= 0 && (one.revents & POLLHUP) == 0;
}

void add_inet_facts(BorrowedFd fd, bool v6, bool listening, luo::FileFacts& facts) {
  const int protocol = option(fd, SO_PROTOCOL);
  const int type = option(fd, SO_TYPE);  // a raw socket has TCP's number too
  const bool tcp = type == SOCK_STREAM && (protocol == IPPROTO_TCP || protocol == IPPROTO_MPTCP);
  if (tcp && listening) {
    facts.kind = FileKind::kTcpListener;
    facts.detail = v6 ? "tcp6 listener" : "tcp listener";
  } else if (tcp) {
    facts.kind = FileKind::kTcpConnection;
    facts.connected = tcp_connected(fd);
    facts.detail = v6 ? "tcp6 connection" : "tcp connection";
  } else if (type == SOCK_DGRAM && protocol == IPPROTO_UDP) {
    facts.kind = FileKind::kUdp;
    facts.detail = v6 ? "udp6" : "udp";
  } else {
    facts.detail = fmt::format("{} socket, protocol {}", v6 ? "inet6" : "inet", protocol);
  }
}

std::string other_domain(int domain) {
  switch (domain) {
    case AF_NETLINK:
      return "netlink socket";
    case AF_PACKET:
      return "packet socket";
    case AF_VSOCK:
      return "vsock socket";
    default:
      return fmt::format("socket of family {}", domain);
  }
}

}  // namespace

std::string unix_name(std::string_view path) {
  if (path.empty()) return "";
  if (path[0] == '\0') return path.size() == 1 ? "" : "@" + printable(path.substr(1));
  return printable(path.substr(0, path.find('\0')));
}

bool add_socket_facts(BorrowedFd fd, luo::FileFacts& facts) {
  const int domain = option(fd, SO_DOMAIN);
  if (domain == -1) return false;
  const bool listening = option(fd, SO_ACCEPTCONN) == 1;
  if (domain == AF_UNIX) {
    add_unix_facts(fd, listening, facts);
  } else if (domain == AF_INET || domain == AF_INET6) {
    add_inet_facts(fd, domain == AF_INET6, listening, facts);
  } else {
    facts.detail = other_domain(domain) + (listening ? ", listening" : "");
  }
  return true;
}

}  // namespace outlive::files
