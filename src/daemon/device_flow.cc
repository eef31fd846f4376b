// What goes out to a client, and what may wait: events, descriptors in flight, and messages whose
// descriptors didn't fit.
#include <linux/sockios.h>
#include <sys/ioctl.h>

#include "base/check.h"
#include "base/log.h"
#include "daemon/device.h"
#include "daemon/requests.h"
#include "wire/body.h"

namespace outlive::daemon {
namespace {

// Descriptors in messages that were not received yet count against the limit of who sent them, and
// that is outlived's user: a client that never reads would use it up for all.
constexpr uint64_t kShareOfUid = 8;  // of the limit of open files

bool is_read(BorrowedFd socket) {
  int unread = 0;
  return ::ioctl(socket.get(), SIOCOUTQ, &unread) != 0 || unread == 0;
}

}  // namespace

void Device::forget_unread(Connection& connection) {
  if (connection.unread_fds == 0) return;
  const auto found = unread_fds_.find(connection.slot->uid);
  CHECK(found != unread_fds_.end());
  found->second -= connection.unread_fds;
  if (found->second == 0) unread_fds_.erase(found);
  connection.unread_fds = 0;
}

bool Device::may_send(Connection& connection, size_t fds) {
  if (connection.unread_fds != 0) {
    if (!is_read(connection.fd())) return false;  // one unread reply with descriptors at a time
    forget_unread(connection);
  }
  const uint64_t most = std::max<uint64_t>(parts_.fd_limit / kShareOfUid, abi::kMaxFds);
  const uint64_t uid = connection.slot->uid;
  const auto unread = [&] {
    const auto found = unread_fds_.find(uid);
    return found == unread_fds_.end() ? 0 : found->second;
  };
  if (unread() + fds <= most) return true;
  for (auto& [address, other] : connections_) {
    if (other.slot->uid == uid && other.unread_fds != 0 && is_read(other.fd())) {
      forget_unread(other);
    }
  }
  if (unread() + fds <= most) return true;
  parts_.refusals.refused(
      uid, parts_.now(),
      fmt::format("descriptors wait: {} of at most {} in its connections are not read", unread(),
                  most));
  return false;
}

// Nothing tells when descriptors have arrived: tick() tries again. Only the other's end wakes it.
void Device::starve(Connection& connection) {
  block(connection);
  const Status changed = parts_.loop.change(connection.fd(), EPOLLRDHUP | EPOLLET);
  if (!changed) log_error("connection: {}", changed.error().message);
  if (connection.starved) return;
  connection.starved = true;
  starved_.push_back(connection.address);
}

void Device::tick() {
  for (const uint64_t address : std::exchange(starved_, {})) feed(address);
  for (const uint64_t address : std::exchange(unwatched_, {})) {
    if (Connection* connection = find(address)) watch(*connection);
  }
}

void Device::feed(uint64_t address) {
  Connection* connection = find(address);
  if (connection == nullptr || !connection->starved) return;
  std::erase(starved_, address);
  connection->starved = false;
  writable(address);
}

abi::MessageHeader Device::header_of(const abi::EventBody& event) const {
  abi::MessageHeader header = wire::event_header();
  const abi::UpdateSlot* update = parts_.core.updates().find(event.update);
  if (update != nullptr && update->scope == static_cast<uint64_t>(luo::Scope::kKernel)) {
    header.flags |= abi::kFlagKernel;
  }
  return header;
}

bool Device::flush_events(Connection& connection) {
  while (!connection.events.empty()) {
    const abi::EventBody& event = connection.events.front();
    const Status sent = wire::send(connection.fd(), header_of(event), wire::bytes_of(event));
    if (!sent && sent.error().code == EAGAIN) {
      block(connection);
      return false;
    }
    if (!sent) {
      close(connection, sent.error().message);
      return false;
    }
    connection.events.pop_front();
  }
  return true;
}

void Device::send_event(uint64_t address, abi::Step step, uint64_t update, uint64_t deadline_ns,
                        std::string_view reason) {
  Connection* connection = find(address);
  if (connection == nullptr) return;
  abi::EventBody body = wire::sized<abi::EventBody>();
  body.step = static_cast<uint32_t>(step);
  body.update = update;
  body.deadline_ns = deadline_ns;
  wire::write_text(reason, body.reason);
  connection->events.push_back(body);
  if (connection->blocked) return;
  // An event is best sent at once: it is inside the blackout. What can't be sent waits.
  const Status sent = wire::send(connection->fd(), header_of(body), wire::bytes_of(body));
  if (sent) {
    connection->events.pop_front();
  } else {
    block(*connection);
  }
}

// It is the client's now. The record lets go of it first.
void Device::drop_reply_fd(Connection& connection) {
  if (connection.slot->reply_fd < 0) return;
  const BorrowedFd sent(static_cast<int>(connection.slot->reply_fd));
  luo::Change change(parts_.records());
  change.set(connection.slot->reply_fd, int64_t{-1});
  change.commit();
  parts_.closer.close(sent);
}

// The request is done and answered: off the socket.
Status Device::take(Connection& connection) {
  if (!connection.lost_fds) return wire::consume(connection.fd());
  // Descriptors that didn't fit into the table are closed by who takes the message.
  parts_.loop.remove(connection.fd());
  connection.taking = true;
  parts_.closer.take_message(connection.fd(), [this, address = connection.address] {
    Connection* found = find(address);
    if (found == nullptr || !found->taking) return;
    found->taking = false;
    watch(*found);
  });
  return {};
}

}  // namespace outlive::daemon
