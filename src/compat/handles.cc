#include "compat/handles.h"

#include <array>

#include "base/sys.h"

namespace outlive::compat {

Result<Handles> Handles::create() {
  Handles made;
  made.epoll_ = TRY(sys::epoll_create());
  return made;
}

Result<Handles::Handle> Handles::make() {
  sys::SocketPair pair = TRY(sys::socketpair(SOCK_STREAM));
  const uint64_t cookie = cookie_of(pair.second);
  if (cookie == 0) return fail(EIO, "a socket without a cookie");
  TRY(sys::shutdown(pair.first, SHUT_WR));
  // Nothing but the hang-up, which is always told.
  TRY(sys::epoll_ctl(epoll_, EPOLL_CTL_ADD, pair.first, 0, cookie));
  ours_[cookie] = std::move(pair.first);
  return Handle{std::move(pair.second), cookie};
}

std::vector<uint64_t> Handles::take_closed() {
  std::vector<uint64_t> closed;
  std::array<epoll_event, 64> events;
  for (;;) {
    const Result<size_t> count = sys::epoll_wait(epoll_, events, 0);
    if (!count || *count == 0) return closed;
    for (size_t i = 0; i < *count; ++i) {
      closed.push_back(events[i].data.u64);
      ours_.erase(events[i].data.u64);
    }
  }
}

uint64_t cookie_of(BorrowedFd fd) {
  const Result<int> domain = sys::get_int_option(fd, SOL_SOCKET, SO_DOMAIN);
  if (!domain || *domain != AF_UNIX) return 0;
  uint64_t cookie = 0;
  socklen_t size = sizeof cookie;
  if (getsockopt(fd.get(), SOL_SOCKET, SO_COOKIE, &cookie, &size) != 0) return 0;
  return cookie;
}

}  // namespace outlive::compat
