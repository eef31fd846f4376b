#include "daemon/listen_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include <charconv>

#include "base/check.h"
#include "base/sys.h"

namespace outlive::daemon {
namespace {

Status parse_inet(std::string_view text, ListenAddress& into) {
  const size_t colon = text.rfind(':');
  if (colon == text.npos) return fail(EINVAL, "'{}' is not HOST:PORT", text);
  std::string host(text.substr(0, colon));
  const std::string_view port = text.substr(colon + 1);
  const auto parsed = std::from_chars(port.data(), port.data() + port.size(), into.port);
  if (port.empty() || parsed.ec != std::errc{} || parsed.ptr != port.data() + port.size()) {
    return fail(EINVAL, "'{}': '{}' is no port", text, port);
  }
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    auto* address = reinterpret_cast<sockaddr_in6*>(&into.address);
    into.domain = address->sin6_family = AF_INET6;
    address->sin6_port = htons(into.port);
    into.length = sizeof *address;
    host = host.substr(1, host.size() - 2);
    if (inet_pton(AF_INET6, host.c_str(), &address->sin6_addr) == 1) return {};
    return fail(EINVAL, "'{}': '{}' is no IPv6 address", text, host);
  }
  auto* address = reinterpret_cast<sockaddr_in*>(&into.address);
  into.domain = address->sin_family = AF_INET;
  address->sin_port = htons(into.port);
  into.length = sizeof *address;
  if (host.empty() || host == "*") return {};
  if (host == "localhost") host = "127.0.0.1";
  if (inet_pton(AF_INET, host.c_str(), &address->sin_addr) == 1) return {};
  return fail(EINVAL, "'{}': '{}' is no address (names are not looked up)", text, host);
}

bool take_prefix(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

}  // namespace

Result<ListenAddress> parse_listen_address(const std::string& written) {
  ListenAddress result;
  std::string_view text = written;
  const size_t equals = text.find('=');
  result.name = "unknown";
  if (equals != text.npos && text.substr(0, equals).find_first_of(":/") == text.npos) {
    result.name = text.substr(0, equals);
    text.remove_prefix(equals + 1);
    if (result.name.empty() || result.name.size() > 32) {
      return fail(EINVAL, "'{}': the name has 1 to 32 characters", written);
    }
  }
  result.text = text;
  result.type = SOCK_STREAM;
  if (take_prefix(text, "unix:")) {
    const sys::UnixAddress address = TRY(sys::unix_address(std::string(text)));
    result.domain = AF_UNIX;
    memcpy(&result.address, &address.address, sizeof address.address);
    result.length = address.length;
    return result;
  }
  if (take_prefix(text, "udp:")) {
    result.type = SOCK_DGRAM;
  } else {
    take_prefix(text, "tcp:");
  }
  TRY(parse_inet(text, result));
  return result;
}

bool ListenAddress::at_path() const {
  return domain == AF_UNIX && reinterpret_cast<const sockaddr_un&>(address).sun_path[0] != '\0';
}

Status may_listen(const ListenAddress& address, uint64_t uid) {
  const bool lends = uid != geteuid();
  if (lends && (address.domain == AF_UNIX || (address.port != 0 && address.port < 1024))) {
    return fail(EACCES, "{}: only outlived's own user may ask for this address", address.text);
  }
  return {};
}

Result<UniqueFd> listener_socket(const ListenAddress& address) {
  UniqueFd socket = TRY(sys::socket(address.domain, address.type | SOCK_NONBLOCK));
  if (address.domain != AF_UNIX) TRY(sys::set_int_option(socket, SOL_SOCKET, SO_REUSEADDR, 1));
  if (address.domain == AF_INET6) {
    TRY(sys::set_int_option(socket, IPPROTO_IPV6, IPV6_V6ONLY, 1));
  }
  return socket;
}

Status start_listening(BorrowedFd socket, const ListenAddress& address) {
  if (address.type == SOCK_STREAM) TRY(sys::listen(socket, 4096));
  TRY(sys::set_nonblocking(socket, false));
  return sys::set_cloexec(socket, false);
}

Result<UniqueFd> open_listener(const ListenAddress& address, uint64_t uid) {
  TRY(may_listen(address, uid));
  CHECK(!address.at_path());
  UniqueFd socket = TRY(listener_socket(address));
  TRY(sys::bind(socket, reinterpret_cast<const sockaddr*>(&address.address), address.length)
          .context("listen at {}", address.text));
  TRY(start_listening(socket, address));
  return socket;
}

std::string local_path(BorrowedFd socket) {
  sockaddr_un name{};
  socklen_t length = sizeof name;
  const Result<int> domain = sys::get_int_option(socket, SOL_SOCKET, SO_DOMAIN);
  if (!domain || *domain != AF_UNIX) return {};
  if (::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&name), &length) != 0) return {};
  return std::string(name.sun_path, strnlen(name.sun_path, sizeof name.sun_path));
}

}  // namespace outlive::daemon
