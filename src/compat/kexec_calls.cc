// reboot(2), kexec_file_load(2), and the ways to have somebody else do it. None of them ever
// reaches the kernel.
#include <fcntl.h>
#include <linux/kexec.h>
#include <linux/reboot.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>

#include "compat/supervisor.h"

namespace outlive::compat {
namespace {

constexpr uint32_t kMagic2[] = {LINUX_REBOOT_MAGIC2, LINUX_REBOOT_MAGIC2A, LINUX_REBOOT_MAGIC2B,
                                LINUX_REBOOT_MAGIC2C};
constexpr uint64_t kLoadFlags =
    KEXEC_FILE_UNLOAD | KEXEC_FILE_ON_CRASH | KEXEC_FILE_NO_INITRAMFS | 0x8 /* KEXEC_FILE_DEBUG */;

// Where a service manager listens: a `systemctl kexec` would go through one of these to the real
// PID 1, which is not under the filter.
constexpr std::string_view kManagers[] = {"/systemd/private", "/dbus/system_bus_socket",
                                          "/systemd/io.systemd.Manager",
                                          "/systemd/io.systemd.Login"};

}  // namespace

void Supervisor::reboot(const Notification& call) {
  const uint32_t magic2 = call.argument32(1);
  if (call.argument32(0) != LINUX_REBOOT_MAGIC1 ||
      std::find(std::begin(kMagic2), std::end(kMagic2), magic2) == std::end(kMagic2)) {
    return call.refuse(EINVAL);
  }
  if (call.argument32(2) != LINUX_REBOOT_CMD_KEXEC) return call.refuse(EPERM);
  const Result<Link::Reply> done = link_.ask(abi::CompatRequest::kKexec);
  done ? call.finish(0) : call.refuse(done.error().code);
}

void Supervisor::load_kernel(const Notification& call) {
  const uint64_t flags = call.argument(4);
  if (flags & ~kLoadFlags) return call.refuse(EINVAL);
  const bool load = (flags & KEXEC_FILE_UNLOAD) == 0;
  const Caller caller(call.thread());
  // The image itself is never looked at.
  if (load && !caller.take_fd(static_cast<int>(call.argument32(0)))) return call.refuse(EBADF);
  abi::CompatAsk ask = make_ask(abi::CompatRequest::kKexecLoad);
  ask.command = load && (flags & KEXEC_FILE_ON_CRASH) == 0;
  if ((flags & KEXEC_FILE_ON_CRASH) != 0) return call.finish(0);  // not what reboot starts
  const Result<Link::Reply> done = link_.ask(ask);
  done ? call.finish(0) : call.refuse(done.error().code);
}

void Supervisor::connect(const Notification& call) {
  const Caller caller(call.thread());
  sockaddr_un address = {};
  const size_t size = std::min<size_t>(call.argument32(2), sizeof address);
  const Status read =
      caller.read(call.argument(1), std::as_writable_bytes(std::span(&address, 1)).first(size));
  if (!read || address.sun_family != AF_UNIX) return call.let_through();
  const std::string_view path(address.sun_path, strnlen(address.sun_path, sizeof address.sun_path));
  for (const std::string_view manager : kManagers) {
    if (path.ends_with(manager)) return call.refuse(EPERM);
  }
  call.let_through();
}

}  // namespace outlive::compat
