#include "daemon/service_manager.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/sys.h"

namespace outlive::daemon {

void tell_service_manager(std::string_view text) {
  const char* path = getenv("NOTIFY_SOCKET");
  if (path == nullptr) return;
  const auto address = sys::unix_address(path);
  const auto socket = sys::socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK);
  if (!address || !socket) return;
  static_cast<void>(::sendto(socket->get(), text.data(), text.size(), MSG_NOSIGNAL,
                             reinterpret_cast<const sockaddr*>(&address->address),
                             address->length));
}

void tell_reloading() {
  tell_service_manager(
      fmt::format("RELOADING=1\nMONOTONIC_USEC={}\n", system_clock().now_ns() / 1000));
}

void tell_reloaded() {
  tell_service_manager("READY=1\n");
}

}  // namespace outlive::daemon
