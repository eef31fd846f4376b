#include "daemon/acceptor.h"

#include "base/log.h"
#include "base/sys.h"

namespace outlive::daemon {
namespace {

constexpr int kAtOnce = 4;            // in one turn
constexpr uint64_t kBeforeRest = 32;  // of users who have to wait
constexpr uint64_t kRestNs = 2'000'000;

}  // namespace

Status Acceptor::start(BorrowedFd listener) {
  listener_ = listener;
  return parts_.loop.add(listener, EPOLLIN, [this](uint32_t) { come_ = true; });
}

void Acceptor::accept_some() {
  if (!std::exchange(come_, false)) return;
  for (int i = 0; i < kAtOnce; ++i) {
    Result<UniqueFd> taken = sys::accept(listener_, SOCK_NONBLOCK);
    if (!taken) {
      if (taken.error().code != EAGAIN) log_warning("accept: {}", taken.error().message);
      return;
    }
    if (!sys::set_cloexec(*taken, false)) return;  // crosses the exec of another outlived
    accepted(std::move(*taken));
  }
  if (in_wait_ >= kBeforeRest) rest(parts_.now());
}

void Acceptor::accepted(UniqueFd connection) {
  const Result<ucred> peer = sys::peer_credentials(connection);
  if (!peer) return parts_.closer.close(BorrowedFd(connection.release()));
  parts_.closer.charge(peer->uid);
  Parts::Expense expense = parts_.begin_expense(peer->uid);
  take_on_(std::move(connection), *peer);
  const uint64_t now = parts_.charge(expense);
  in_wait_ = parts_.throttle.wait_ns(peer->uid, now) != 0 ? in_wait_ + 1 : 0;
}

std::shared_ptr<const std::vector<uint64_t>> Acceptor::groups_of(BorrowedFd connection) {
  Result<std::vector<uint64_t>> groups = sys::peer_groups(connection);
  if (!groups) log_warning("grants to groups: {}", groups.error().message);
  if (!groups || groups->empty()) return nullptr;
  return std::make_shared<const std::vector<uint64_t>>(std::move(*groups));
}

void Acceptor::rest(uint64_t now_ns) {
  in_wait_ = 0;
  const Status changed = parts_.loop.change(listener_, 0);
  if (!changed) return log_error("listener: {}", changed.error().message);
  listen_again_ns_ = now_ns + kRestNs;
}

void Acceptor::resume(uint64_t now_ns) {
  if (listen_again_ns_ == 0 || now_ns < listen_again_ns_) return;
  const Status changed = parts_.loop.change(listener_, EPOLLIN);
  if (!changed) return log_error("listener: {}, trying again", changed.error().message);
  listen_again_ns_ = 0;
}

}  // namespace outlive::daemon
