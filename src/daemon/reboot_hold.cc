#include "daemon/reboot_hold.h"

#include <poll.h>

#include <algorithm>

#include "base/clock.h"
#include "base/log.h"

namespace outlive::daemon {
namespace {

constexpr uint64_t kBeatNs = 500'000'000;

}  // namespace

void begin_reboot_hold(machine::Control& control, BorrowedFd connection, uint64_t until_ns) {
  abi::ControlBlock& block = control.block();
  machine::store_word(block.reboot_connection, static_cast<uint64_t>(connection.get()));
  machine::store_word(block.reboot_until_ns, until_ns);
}

void end_reboot_hold(machine::Control& control) {
  machine::store_word(control.block().reboot_until_ns, uint64_t{0});
}

void await_reboot(machine::Control& control) {
  abi::ControlBlock& block = control.block();
  const uint64_t until = machine::load_word(block.reboot_until_ns);
  if (until == 0) return;
  log_warning(
      "a worker died while the kernel is about to be replaced: nobody is served before that "
      "failed");
  pollfd caller{static_cast<int>(machine::load_word(block.reboot_connection)), POLLIN | POLLRDHUP,
                0};
  for (uint64_t now = system_clock().now_ns(); now < until; now = system_clock().now_ns()) {
    control.beat(now);
    const uint64_t rest = std::min(until - now, kBeatNs) / 1'000'000 + 1;
    if (::poll(&caller, 1, static_cast<int>(rest)) > 0) break;
  }
  end_reboot_hold(control);
}

}  // namespace outlive::daemon
