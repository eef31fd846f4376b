#include "daemon/loop.h"

#include "base/clock.h"
#include "base/sys.h"

namespace outlive::daemon {
namespace {

uint64_t tag_of(BorrowedFd fd, uint32_t generation) {
  return static_cast<uint64_t>(generation) << 32 | static_cast<uint32_t>(fd.get());
}

}  // namespace

Result<Loop> Loop::create() {
  UniqueFd epoll = TRY(sys::epoll_create());
  return Loop(std::move(epoll));
}

Status Loop::add(BorrowedFd fd, uint32_t events, Handler handler) {
  const auto number = static_cast<size_t>(fd.get());
  if (slots_.size() <= number) slots_.resize(number + 64);
  Slot& slot = slots_[number];
  ++slot.generation;
  TRY(sys::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, events, tag_of(fd, slot.generation)));
  slot.handler = std::move(handler);
  return {};
}

Status Loop::change(BorrowedFd fd, uint32_t events) {
  const Slot& slot = slots_[static_cast<size_t>(fd.get())];
  return sys::epoll_ctl(epoll_, EPOLL_CTL_MOD, fd, events, tag_of(fd, slot.generation));
}

void Loop::remove(BorrowedFd fd) {
  const auto number = static_cast<size_t>(fd.get());
  if (number >= slots_.size() || !slots_[number].handler) return;
  slots_[number].handler = nullptr;
  ++slots_[number].generation;
  const Status ignored = sys::epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, 0, 0);
  static_cast<void>(ignored);  // the fd may be closed already: then it has left the set
}

std::vector<BorrowedFd> Loop::fds() const {
  std::vector<BorrowedFd> list{epoll_};
  for (size_t number = 0; number < slots_.size(); ++number) {
    if (slots_[number].handler) list.emplace_back(static_cast<int>(number));
  }
  return list;
}

Status Loop::turn(uint64_t timeout_ns) {
  // All that is ready, in one turn: who is next is for the handlers to say, not for the order here.
  epoll_event events[512];
  const size_t count = TRY(sys::epoll_pwait2(epoll_, events, timeout_ns));
  woken_ns_ = system_clock().now_ns();
  for (size_t i = 0; i < count; ++i) {
    const uint64_t tag = events[i].data.u64;
    const auto number = static_cast<uint32_t>(tag);
    if (number >= slots_.size() || slots_[number].generation != tag >> 32) continue;
    // A copy: the handler may remove itself.
    const Handler handler = slots_[number].handler;
    if (handler) handler(events[i].events);
  }
  return {};
}

}  // namespace outlive::daemon
