#include "daemon/kernel_store.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "abi/kernel_carry.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/sys.h"

namespace outlive::daemon {
namespace {

constexpr uint64_t kPatienceNs = 30'000'000'000;

}  // namespace

void KernelStore::need_room_for(size_t descriptors) {
  const char* most = getenv("FDSTORE");
  if (!on_ || !stores_ || most == nullptr) return;
  const size_t room = strtoul(most, nullptr, 10);
  if (descriptors > room) {
    go_without(fmt::format("{} descriptors, and the fd store takes {}", descriptors, room));
  }
}

void KernelStore::keep(const Named& descriptor) {
  static_cast<void>(tell(store_text(descriptor.name), descriptor.fd));
}

bool KernelStore::keep_adopted(const std::vector<Named>& descriptors, BorrowedFd arena) {
  for (const Named& one : descriptors) {
    if (!tell(store_text(one.name), one.fd)) return false;
  }
  FAULT_POINT("daemon.arrival.storing");
  return tell(store_text(kStoreArena), arena) && settled();
}

void KernelStore::drop(const std::vector<Named>& direct) {
  stores_ = true;
  if (!tell(remove_text(abi::kStoreKernelSession))) return;
  for (const Named& one : direct) {
    if (!tell(store_text(one.name), one.fd)) return;
  }
}

// In order, whatever has to wait. False: it wasn't told.
bool KernelStore::tell(const std::string& text, BorrowedFd fd) {
  if (!on_ || !stores_) return false;
  const uint64_t since = system_clock().now_ns();
  int code = notify_manager(text, fd);
  while (is_full(code) && beat(since)) {
    ::poll(nullptr, 0, 1);  // a queue of datagrams says to nobody that it has room again
    code = notify_manager(text, fd);
  }
  if (code != 0) go_without(is_full(code) ? "the fd store takes nothing" : strerrordesc_np(code));
  return code == 0;
}

bool KernelStore::settled() {
  if (!on_ || !stores_) return false;
  const uint64_t since = system_clock().now_ns();
  UniqueFd barrier = send_barrier();
  for (; !barrier.valid() && beat(since); barrier = send_barrier()) ::poll(nullptr, 0, 1);
  pollfd end{.fd = barrier.get(), .events = POLLIN, .revents = 0};
  while (barrier.valid() && ::poll(&end, 1, 100) <= 0) {
    if (!beat(since)) barrier.reset();
  }
  if (!barrier.valid()) go_without("the service manager doesn't answer");
  return barrier.valid();
}

void KernelStore::go_without(const std::string& why) {
  log_error("what came through a kexec is adopted without the service manager's fd store: {}", why);
  stores_ = false;
}

// False: patience is at its end.
bool KernelStore::beat(uint64_t since_ns) const {
  const uint64_t now = system_clock().now_ns();
  control_.beat(now);
  return now - since_ns < kPatienceNs;
}

}  // namespace outlive::daemon
