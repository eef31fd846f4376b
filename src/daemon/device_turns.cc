// Whose turn it is: users one after another, and not more of one than his share of the time while
// others are there.
#include "base/log.h"
#include "base/sys.h"
#include "daemon/device.h"
#include "daemon/requests.h"

namespace outlive::daemon {
namespace {

// Then it is looked who else has come: soon, when there are others.
constexpr uint64_t kServeNs = 200'000;
constexpr uint64_t kServeSharedNs = 50'000;

}  // namespace

void Device::readable(uint64_t address) {
  const Connection* connection = find(address);
  if (connection == nullptr || connection->blocked || connection->taking || connection->parked) {
    return;
  }
  ready_.add(connection->slot->uid, address);
}

void Device::serve_some() {
  if (ready_.empty()) return;
  const uint64_t begun = parts_.now();
  if (begun < paused_until_ns_) return;
  paused_until_ns_ = 0;
  while (const auto address = ready_.next()) {
    Connection* connection = find(*address);
    if (connection == nullptr || connection->blocked || connection->taking) continue;
    const uint64_t uid = connection->slot->uid;
    const Parts::Expense expense = parts_.begin_expense(uid);
    if (const uint64_t wait = parts_.throttle.wait_ns(uid, expense.since_ns); wait != 0) {
      park(*connection, expense.since_ns + wait);
      continue;
    }
    parts_.closer.charge(uid);
    // One request. If there is another, the loop says so in its next turn, after what came before
    // it: a session that was closed before its name is asked for again.
    serve_one(*connection);
    const uint64_t now = parts_.charge(expense);
    const uint64_t most = parts_.throttle.is_shared(uid, now) ? kServeSharedNs : kServeNs;
    if (now - begun >= most) break;
  }
}

// Its requests stay in the socket; also a hang-up is for later.
void Device::park(Connection& connection, uint64_t until_ns) {
  const Status changed = parts_.loop.change(connection.fd(), EPOLLET);
  if (!changed) log_error("connection: {}", changed.error().message);
  connection.parked = true;
  parked_[connection.slot->uid].push_back(connection.address);
  next_resume_ns_ = sooner(next_resume_ns_, until_ns);
}

void Device::unpark(Connection& connection) {
  if (!std::exchange(connection.parked, false) || connection.blocked || connection.taking) return;
  const Status changed = parts_.loop.change(connection.fd(), EPOLLIN | EPOLLRDHUP);
  if (!changed) log_error("connection: {}", changed.error().message);
}

uint64_t Device::next_resume_ns() const {
  return sooner(acceptor_.next_ns(), next_resume_ns_);
}

void Device::resume() {
  const uint64_t now = parts_.now();
  acceptor_.resume(now);
  requests_->end_gone_direct();
  if (next_resume_ns_ == 0 || now < next_resume_ns_) return;
  next_resume_ns_ = 0;
  for (auto user = parked_.begin(); user != parked_.end();) {
    if (const uint64_t wait = parts_.throttle.wait_ns(user->first, now); wait != 0) {
      next_resume_ns_ = sooner(next_resume_ns_, now + wait);
      ++user;
      continue;
    }
    for (const uint64_t address : user->second) {
      if (Connection* connection = find(address)) unpark(*connection);
    }
    user = parked_.erase(user);
  }
}

}  // namespace outlive::daemon
