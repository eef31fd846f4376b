// PID 1 of the machine that tests/kernel/machine.py boots: mounts what programs expect, and does
// what it is told over a virtio port. There is no shell and nothing else in the initramfs; programs
// come from the host's folder, seen as /host. Where a service manager is PID 1 it is a service, and
// mounts only that folder.
//
//   run [NAME=VALUE...] PROGRAM [ARG...]   start OUTPUT [NAME=VALUE...] PROGRAM [ARG...]
//   signal PID NUMBER   read PATH   kexec KERNEL INITRD   poweroff
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include <array>
#include <span>

#include "base/sys.h"
#include "channel.h"
#include "program.h"
#include "reboot.h"

namespace outlive::guest {
namespace {

struct Mount {
  const char* source;
  const char* target;
  const char* type;
  const char* options;
};
constexpr Mount kMounts[] = {
    // the host's folder is the last
    {"dev", "/dev", "devtmpfs", ""},
    {"proc", "/proc", "proc", ""},
    {"sys", "/sys", "sysfs", ""},
    {"debug", "/sys/kernel/debug", "debugfs", ""},
    {"tmp", "/tmp", "tmpfs", ""},
    {"host", "/host", "9p", "trans=virtio,version=9p2000.L,msize=524288"},
};

Status mount_all() {
  for (const Mount& one : std::span(kMounts).last(getpid() == 1 ? std::size(kMounts) : 1)) {
    if (::mkdir(one.target, 0755) != 0 && errno != EEXIST) return fail_errno(one.target);
    if (::mount(one.source, one.target, one.type, 0, one.options) != 0) {
      return fail_errno(fmt::format("mount {}", one.target));
    }
  }
  return {};
}

// A file to its end, or as far as it has something: the kernel's log gives a record a read.
Status send_file(const std::string& path, Channel& channel) {
  const UniqueFd file = TRY(sys::open(path, O_RDONLY | O_NONBLOCK));
  std::array<std::byte, 16384> buffer;
  while (true) {
    const auto got = sys::read(file.borrow(), buffer);
    if (!got && got.error().code == EPIPE) continue;  // records were overwritten: on with the next
    if (!got && got.error().code != EAGAIN) return Error(got.error());
    const size_t size = got ? *got : 0;
    if (size == 0) return channel.send("exit 0");
    TRY(channel.send(fmt::format("out {}", size), {reinterpret_cast<char*>(buffer.data()), size}));
  }
}

Status obey(const Request& request, Channel& channel) {
  const std::string& verb = request[0];
  if (verb == "run") return run_program(std::span(request).subspan(1), channel);
  if (verb == "start") return start_program(std::span(request).subspan(1), channel);
  if (verb == "signal" && request.size() == 3) {
    TRY(sys::kill(atoi(request[1].c_str()), atoi(request[2].c_str())));
    return channel.send("exit 0");
  }
  if (verb == "read" && request.size() == 2) return send_file(request[1], channel);
  if (verb == "kexec" && request.size() == 3) return kexec_into(request[1], request[2]);
  if (verb == "poweroff") return power_off();
  return fail(EINVAL, "unknown request '{}'", verb);
}

// Until the machine ends; returns only when the line to the host is broken.
Status serve() {
  TRY(mount_all());
  Channel channel = TRY(Channel::open("outlive.guest"));
  const int stage = TRY(read_stage());
  TRY(channel.send(fmt::format("ready {}", stage)));
  while (true) {
    const Request request = TRY(channel.receive());
    if (const Status done = obey(request, channel); !done) {
      TRY(channel.send(fmt::format("error {}", done.error().text())));
    }
  }
}

}  // namespace
}  // namespace outlive::guest

int main() {
  using namespace outlive;
  const Status served = guest::serve();
  dprintf(STDERR_FILENO, "guest: %s\n", served.error().text().c_str());
  const Error error = guest::power_off();
  dprintf(STDERR_FILENO, "guest: %s\n", error.text().c_str());
  return EXIT_FAILURE;
}
