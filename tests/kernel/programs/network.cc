// Gives the machine its addresses, as an init would: `network`: 127.0.0.1 for lo, and for eth0 the
// one that QEMU's user network expects. Everybody whom eth0 has to reach is in its own network.
#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

bool ask(int socket, unsigned long request, ifreq& what) {
  if (ioctl(socket, request, &what) == 0) return true;
  perror(what.ifr_name);
  return false;
}

sockaddr ipv4(const char* text) {
  sockaddr_in name{};
  name.sin_family = AF_INET;
  inet_pton(AF_INET, text, &name.sin_addr);
  sockaddr result{};
  memcpy(&result, &name, sizeof result);
  return result;
}

bool bring_up(int socket, const char* name, const char* address, const char* mask) {
  ifreq what{};
  strncpy(what.ifr_name, name, IFNAMSIZ - 1);
  what.ifr_addr = ipv4(address);
  if (!ask(socket, SIOCSIFADDR, what)) return false;
  what.ifr_netmask = ipv4(mask);
  if (!ask(socket, SIOCSIFNETMASK, what) || !ask(socket, SIOCGIFFLAGS, what)) return false;
  what.ifr_flags = static_cast<short>(what.ifr_flags | IFF_UP);
  return ask(socket, SIOCSIFFLAGS, what);
}

}  // namespace

int main() {
  const int any = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const bool done = any >= 0 && bring_up(any, "lo", "127.0.0.1", "255.0.0.0") &&
                    bring_up(any, "eth0", "10.0.2.15", "255.255.255.0");
  if (any >= 0) close(any);
  return done ? 0 : 1;
}
