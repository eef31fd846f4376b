#include "daemon/metrics_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

#include "base/sys.h"

namespace outlive::daemon {
namespace {

constexpr int kBacklog = 64;

bool is_loopback(const ListenAddress& address) {
  if (address.domain == AF_INET) {
    const auto* inet = reinterpret_cast<const sockaddr_in*>(&address.address);
    return ntohl(inet->sin_addr.s_addr) >> 24 == 127;
  }
  const auto* inet6 = reinterpret_cast<const sockaddr_in6*>(&address.address);
  return IN6_IS_ADDR_LOOPBACK(&inet6->sin6_addr) != 0;
}

const sockaddr* of(const ListenAddress& address) {
  return reinterpret_cast<const sockaddr*>(&address.address);
}

std::string path_of(const ListenAddress& address) {
  if (address.domain != AF_UNIX) return {};
  const auto* name = reinterpret_cast<const sockaddr_un*>(&address.address);
  return std::string(name->sun_path, strnlen(name->sun_path, sizeof name->sun_path));
}

bool nobody_listens(const ListenAddress& address) {
  const Result<UniqueFd> probe = sys::socket(address.domain, SOCK_STREAM | SOCK_NONBLOCK);
  if (!probe) return false;
  const Status connected = sys::connect(*probe, of(address), address.length);
  return !connected && connected.error().code == ECONNREFUSED;
}

}  // namespace

Result<ListenAddress> parse_metrics_address(const std::string& text) {
  ListenAddress address = TRY(parse_listen_address(text));
  if (address.domain == AF_UNIX) {
    if (path_of(address).starts_with('/')) return address;
    return fail(EINVAL, "'{}': a Unix socket's path starts with /", text);
  }
  if (address.type != SOCK_STREAM || !is_loopback(address)) {
    return fail(EINVAL, "'{}' is neither unix:/PATH nor a loopback address (127.0.0.1, [::1])",
                text);
  }
  return address;
}

Result<UniqueFd> bind_metrics(const ListenAddress& address) {
  UniqueFd socket = TRY(sys::socket(address.domain, SOCK_STREAM | SOCK_NONBLOCK));
  if (address.domain != AF_UNIX) TRY(sys::set_int_option(socket, SOL_SOCKET, SO_REUSEADDR, 1));
  Status bound = sys::bind(socket, of(address), address.length);
  if (!bound && bound.error().code == EADDRINUSE && address.domain == AF_UNIX &&
      nobody_listens(address)) {
    TRY(sys::unlink(path_of(address)));
    bound = sys::bind(socket, of(address), address.length);
  }
  if (!bound) return fail(bound.error().code, "{}: {}", address.text, bound.error().message);
  if (const std::string path = path_of(address); !path.empty()) {
    if (::chmod(path.c_str(), 0660) != 0) return fail_errno(path);
  }
  TRY(sys::listen(socket, kBacklog));
  return socket;
}

bool is_bound_to(BorrowedFd listener, const ListenAddress& address) {
  sockaddr_storage bound{};
  socklen_t length = sizeof bound;
  if (::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&bound), &length) != 0) {
    return false;
  }
  return length == address.length && memcmp(&bound, &address.address, length) == 0;
}

void unlink_bound(BorrowedFd listener) {
  sockaddr_un bound{};
  socklen_t length = sizeof bound;
  if (::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&bound), &length) != 0) return;
  if (bound.sun_family != AF_UNIX) return;
  const Status gone =
      sys::unlink(std::string(bound.sun_path, strnlen(bound.sun_path, sizeof bound.sun_path)));
  static_cast<void>(gone);
}

}  // namespace outlive::daemon
