#include "daemon/reboot_hold.h"

#include <poll.h>

#include <algorithm>
#include <string_view>

#include "base/clock.h"
#include "base/log.h"
#include "base/sys.h"
#include "daemon/hand_over.h"

namespace outlive::daemon {
namespace {

constexpr uint64_t kBeatNs = 500'000'000;

// What comes after "hand over" is one of two calls, and they mean opposite things: the next worker,
// which will answer it, must know first.
bool says_handed_over(BorrowedFd connection) {
  char text[1024];
  const auto got = sys::recv(connection, std::as_writable_bytes(std::span(text)), MSG_PEEK);
  return got && std::string_view(text, *got).contains("\"handed over\"");
}

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
    if (control.stop_requested() != 0 && HandOver::is_begun(control)) break;
    if (::poll(&caller, 1, static_cast<int>(rest)) > 0) break;
  }
  if (HandOver::is_begun(control) &&
      (control.stop_requested() != 0 || says_handed_over(BorrowedFd(caller.fd)))) {
    HandOver::note_complete(control);
  }
  end_reboot_hold(control);
}

}  // namespace outlive::daemon
