#include "daemon/device.h"

#include <string.h>
#include <sys/un.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/mutant.h"
#include "base/sys.h"
#include "daemon/requests.h"
#include "daemon/supervisor.h"
#include "daemon/totals.h"
#include "files/node.h"
#include "kho/store.h"
#include "machine/kernel/open_sessions.h"
#include "wire/body.h"

namespace outlive::daemon {

namespace {

// Memory is short: the message stays in the socket, and is tried again in the next turn.
bool is_passing(const Error& error) {
  return error.code == ENOMEM || error.code == ENOBUFS;
}

uint64_t inode_of(BorrowedFd fd) {
  const auto facts = sys::statx_cached(fd, STATX_INO);
  return facts ? facts->stx_ino : 0;
}

}  // namespace

Outcome Outcome::error(const Error& error) {
  Outcome outcome;
  outcome.result = -error.code;
  const abi::ErrorBody body = wire::error_body(error);
  const auto bytes = wire::bytes_of(body);
  outcome.body.assign(bytes.begin(), bytes.end());
  return outcome;
}

Device::Device(Parts& parts, Supervisor& supervisor)
    : parts_(parts),
      supervisor_(supervisor),
      requests_(std::make_unique<Requests>(parts, *this, supervisor)),
      acceptor_(parts, [this](UniqueFd fd, const ucred& peer) { take_on(std::move(fd), peer); }) {}

Device::~Device() = default;

Status Device::start(BorrowedFd listener) {
  std::vector<abi::ConnectionSlot*> slots;
  std::vector<abi::ConnectionSlot*> dead;
  parts_.records().for_each<abi::ConnectionSlot>([&](abi::ConnectionSlot& slot) {
    const bool open = static_cast<bool>(sys::get_fd_flags(BorrowedFd(static_cast<int>(slot.fd))));
    (open ? slots : dead).push_back(&slot);
  });
  for (abi::ConnectionSlot* slot : dead) {
    luo::Change change(parts_.records());
    change.remove(*slot);
    change.commit();
  }
  for (abi::ConnectionSlot* slot : slots) {
    const uint64_t address = parts_.records().address_of(slot);
    Connection& connection = connections_[address];
    connection.slot = slot;
    connection.address = address;
    ++by_uid_[slot->uid];
    if (slot->role == static_cast<uint64_t>(abi::ConnectionRole::kSession)) {
      own_inodes_.insert(inode_of(connection.fd()));
      own_inodes_.insert(slot->peer_inode);
      if (luo::Session* session = parts_.core.sessions().at(slot->session)) {
        parts_.core.sessions().hold(*session, {address, slot->generation});
      }
    }
    // Before its commit or after it, as long as its reply was not sent.
    if (slot->in_work != 0) kho::store_word(&slot->deaths, slot->deaths + 1);
    watch(connection);
  }
  // A connection may be lost with the table that it was in, and nobody has told its session.
  parts_.core.sessions().for_each([&](luo::Session& session) {
    const bool internal = (session.slot->flags & abi::kSessionInternal) != 0;
    if (internal || !session.holders.empty() || session.slot->orphaned_ns != 0) return;
    if (!requests_->let_go_direct(session)) unheld(session);
  });
  return acceptor_.start(listener);
}

void Device::take_on(UniqueFd fd, const ucred& peer) {
  // Descriptors in its queue, which came with its first requests, are closed with it.
  const auto hang_up = [&] { parts_.closer.close(BorrowedFd(fd.release())); };
  const uint64_t limit = parts_.config.limits_of(peer.uid).connections + (peer.uid == 0 ? 64 : 0);
  const bool full = parts_.in_reserve(fd, peer.uid);
  const auto others = by_uid_.find(peer.uid);
  const uint64_t has = others == by_uid_.end() ? 0 : others->second;
  abi::MetricTotals& totals = parts_.control.operators().totals;
  count(totals.connections);
  if (full || has >= limit) {
    count(totals.connections_refused);
    parts_.refusals.refused(peer.uid, parts_.now(),
                            fmt::format("a connection: it has {}, the limit is {}{}", has, limit,
                                        full ? ", and the table of descriptors is full" : ""));
    const abi::MessageHeader header = wire::event_header();
    abi::MessageHeader refusal = header;
    refusal.result = -EMFILE;
    const Status ignored = wire::send(fd, refusal, {});
    static_cast<void>(ignored);
    return hang_up();
  }
  luo::Change change(parts_.records());
  Result<abi::ConnectionSlot*> made = change.add<abi::ConnectionSlot>();
  if (!made) {
    parts_.refusals.refused(peer.uid, parts_.now(), made.error().message);
    return hang_up();
  }
  abi::ConnectionSlot& slot = **made;
  slot.role = static_cast<uint64_t>(abi::ConnectionRole::kDevice);
  slot.fd = fd.get();
  slot.uid = peer.uid;
  slot.gid = peer.gid;
  slot.pid = peer.pid;
  slot.reply_fd = -1;
  const pid_t pid = sys::is_peer_gone(fd) ? 0 : peer.pid;  // a number for nobody, or for another
  const Supervisor::Identity identity = supervisor_.identify(pid, 0);
  slot.service = identity.service;
  slot.generation = identity.generation;
  parts_.store.hold(fd);  // before its record: without that it is still a new client's
  change.commit();
  static_cast<void>(fd.release());  // the record holds it
  const uint64_t address = parts_.records().address_of(&slot);
  Connection& connection = connections_[address];
  connection.slot = &slot;
  connection.address = address;
  ++by_uid_[slot.uid];
  watch(connection);
}

void Device::watch(Connection& connection) {
  const bool device = connection.slot->role == static_cast<uint64_t>(abi::ConnectionRole::kDevice);
  if (device) connection.groups = Acceptor::groups_of(connection.fd());
  const uint64_t address = connection.address;
  const Status added =
      parts_.loop.add(connection.fd(), EPOLLIN | EPOLLRDHUP, [this, address](uint32_t events) {
        if (events & EPOLLOUT) writable(address);
        if (events & (EPOLLHUP | EPOLLRDHUP | EPOLLERR)) feed(address);
        if (events & (EPOLLIN | EPOLLHUP | EPOLLRDHUP | EPOLLERR)) readable(address);
      });
  if (!added) {
    log_warning("connection of uid {}: {}, trying again", connection.slot->uid,
                added.error().message);
    unwatched_.push_back(address);
  }
}

Connection* Device::find(uint64_t address) {
  const auto found = connections_.find(address);
  return found == connections_.end() ? nullptr : &found->second;
}

void Device::writable(uint64_t address) {
  Connection* connection = find(address);
  if (connection == nullptr || !connection->blocked) return;
  connection->blocked = false;
  connection->parked = false;
  if (!flush_events(*connection)) return;
  const Status changed = parts_.loop.change(connection->fd(), EPOLLIN | EPOLLRDHUP);
  if (!changed) log_error("connection: {}", changed.error().message);
  readable(address);
}

void Device::block(Connection& connection) {
  end_work(*connection.slot);
  connection.blocked = true;
  const Status changed = parts_.loop.change(connection.fd(), EPOLLOUT);
  if (!changed) log_error("connection: {}", changed.error().message);
}

// Nothing is acknowledged that the fd store doesn't have yet. The request stays in its socket; its
// reply is stored.
void Device::delay(Connection& connection) {
  block(connection);
  const Status changed = parts_.loop.change(connection.fd(), 0);
  if (!changed) log_error("connection: {}", changed.error().message);
  delayed_.push_back(connection.address);
}

void Device::stored() {
  for (const uint64_t address : std::exchange(delayed_, {})) writable(address);
}

bool Device::serve_one(Connection& connection) {
  Result<wire::Received> got =
      wire::peek(connection.fd(), buffer_, wire::FdFlag::kKeep, &unwanted_);
  release_fds(unwanted_);
  if (!got) {
    if (!is_passing(got.error())) close(connection, got.error().message);
    return false;
  }
  switch (got->arrival) {
    case wire::Arrival::kNothing:
      return false;
    case wire::Arrival::kReset:
      return true;
    case wire::Arrival::kClosed:
      close(connection, "closed");
      return false;
    case wire::Arrival::kRefused:
    case wire::Arrival::kMessage:
      break;
  }
  connection.lost_fds = got->lost_fds;
  bool more;
  if (got->arrival == wire::Arrival::kRefused &&
      got->message.header.sequence == connection.slot->sequence + 1) {
    luo::Change change(parts_.records());
    record_reply(change, connection, got->message.header.sequence, -got->refusal.code);
    change.commit();
    count_request(parts_.control.operators().totals, got->message.header.request,
                  got->refusal.code);
    more = answer(connection, got->message, Outcome::error(got->refusal));
  } else {
    more = serve(connection, got->message);
  }
  release_fds(got->message.fds);
  return more;
}

bool Device::serve(Connection& connection, wire::Message& message) {
  abi::ConnectionSlot& slot = *connection.slot;
  const uint64_t sequence = message.header.sequence;
  if (sequence == slot.sequence && sequence != 0 && !mutant("no-replay-check")) {
    return reply_again(connection, message);
  }
  if (sequence == abi::kAskSequence && message.request() == abi::Request::kGetName) {
    message.header.sequence = slot.sequence;  // for who got this fd from somebody else
    return answer(connection, message, Outcome::error(fail(EPROTO, "the last sequence is told")));
  }
  if (sequence != slot.sequence + 1) {
    close(connection, fmt::format("sequence {} after {}", sequence, slot.sequence));
    return false;
  }
  // The reply before was sent, and its request taken; the worker died before it let go of the fd.
  if (!mutant("reply-overwritten")) drop_reply_fd(connection);
  Outcome outcome;
  if (is_poison(connection, message) && !mutant("poison-replayed")) {
    outcome = Outcome::error(fail(EIO, "outlived's worker died of this request, again and again"));
  } else {
    begin_work(slot, sequence);
    outcome = requests_->handle(connection, message);
  }
  const bool early = mutant("reply-before-record") && answer(connection, message, outcome);
  if (!outcome.committed) {
    luo::Change change(parts_.records());
    record_reply(change, connection, sequence, outcome.result);
    change.commit();
  }
  count_request(parts_.control.operators().totals, message.header.request, -outcome.result);
  const uint64_t address = connection.address;
  const bool more = early || answer(connection, message, outcome);
  if (outcome.after) outcome.after();
  return more && find(address) != nullptr;
}

void Device::record_reply(luo::Change& change, Connection& connection, uint64_t sequence,
                          int result, int64_t reply_fd) {
  change.set(connection.slot->sequence, sequence);
  change.set(connection.slot->result, static_cast<int64_t>(result));
  change.set(connection.slot->reply_fd, reply_fd);
}

bool Device::answer(Connection& connection, const wire::Message& message, const Outcome& outcome) {
  if (!connection.events.empty()) {  // events first: they are older
    block(connection);
    return false;
  }
  if (parts_.store.waiting() != 0) {
    delay(connection);
    return false;
  }
  if (!outcome.fds.empty() && !may_send(connection, outcome.fds.size())) {
    starve(connection);
    return false;
  }
  const abi::MessageHeader header = wire::reply_header(message.header, outcome.result);
  const Status sent = wire::send(connection.fd(), header, outcome.body, outcome.fds);
  if (!sent) {
    if (sent.error().code == EAGAIN || sent.error().code == ENOMEM) {
      block(connection);
    } else if (sent.error().code == ETOOMANYREFS || sent.error().code == ENOBUFS) {
      starve(connection);
    } else {
      close(connection, sent.error().message);
    }
    return false;
  }
  if (!outcome.fds.empty()) {
    connection.unread_fds = static_cast<uint32_t>(outcome.fds.size());
    unread_fds_[connection.slot->uid] += outcome.fds.size();
  }
  if (const Status taken = take(connection); !taken) {
    // Unconsumed, it is answered once more; who waits for the next reply drops that.
    if (!is_passing(taken.error())) close(connection, taken.error().message);
    return false;
  }
  end_work(*connection.slot);
  FAULT_POINT("daemon.answered");
  drop_reply_fd(connection);
  return true;
}

std::vector<luo::Participant> Device::participants(uint64_t service, uint64_t generation) const {
  std::vector<luo::Participant> list;
  for (const auto& [address, connection] : connections_) {
    const abi::ConnectionSlot& slot = *connection.slot;
    if (slot.participant != 0 && slot.service == service && slot.generation == generation) {
      list.push_back({address, slot.versions, connection.previews});
    }
  }
  return list;
}

bool Device::has_participant(uint64_t service, uint64_t generation) const {
  return !participants(service, generation).empty();
}

void Device::drop_generation(uint64_t service, uint64_t generation) {
  std::vector<uint64_t> list;
  for (const auto& [address, connection] : connections_) {
    if (connection.slot->service == service && connection.slot->generation == generation) {
      list.push_back(address);
    }
  }
  for (const uint64_t address : list) {
    if (Connection* connection = find(address)) close(*connection, "its update was cancelled");
  }
}

Status Device::add_session_connection(luo::Change& change, Connection& client,
                                      abi::SessionSlot& session, uint64_t session_address,
                                      abi::ConnectionSlot** made) {
  auto* slot = TRY(change.add<abi::ConnectionSlot>());
  sys::SocketPair pair = TRY(sys::socketpair(SOCK_SEQPACKET | SOCK_NONBLOCK));
  if (parts_.in_reserve(pair.second, client.slot->uid)) {
    return fail(EMFILE, "outlived's table of {} descriptors is full", parts_.fd_limit);
  }
  TRY(sys::set_nonblocking(pair.second, false));
  for (const UniqueFd* end : {&pair.first, &pair.second}) TRY(sys::set_cloexec(*end, false));
  slot->role = static_cast<uint64_t>(abi::ConnectionRole::kSession);
  slot->uid = session.uid;
  slot->gid = client.slot->gid;
  slot->pid = client.slot->pid;
  slot->session = session_address;
  slot->service = client.slot->service;
  slot->generation = client.slot->generation;
  slot->reply_fd = -1;
  slot->peer_inode = inode_of(pair.second);
  own_inodes_.insert(slot->peer_inode);
  own_inodes_.insert(inode_of(pair.first));
  slot->fd = pair.first.release();
  *made = slot;
  // From the commit on the client's record holds this end; before it an orphan.
  record_reply(change, client, client.slot->sequence + 1, 0, pair.second.release());
  return {};
}

void Device::committed_session_connection(abi::ConnectionSlot& slot) {
  parts_.store.hold(BorrowedFd(static_cast<int>(slot.fd)));
  const uint64_t address = parts_.records().address_of(&slot);
  Connection& connection = connections_[address];
  connection.slot = &slot;
  connection.address = address;
  ++by_uid_[slot.uid];
  if (luo::Session* session = parts_.core.sessions().at(slot.session)) {
    parts_.core.sessions().hold(*session, {address, slot.generation});
  }
  watch(connection);
}

bool Device::is_ours(BorrowedFd fd, const luo::FileFacts& facts) const {
  if (facts.kind == luo::FileKind::kOther) {
    const Result<std::string> link = files::link_of(fd);
    return link && !machine::session_of_link(*link).empty();
  }
  if (facts.kind != luo::FileKind::kUnixConnection) return false;
  if (own_inodes_.contains(facts.inode)) return true;
  // A client's end of a device or control connection: its peer's name is one of our sockets.
  sockaddr_un peer{};
  socklen_t length = sizeof peer;
  if (::getpeername(fd.get(), reinterpret_cast<sockaddr*>(&peer), &length) != 0) return false;
  const std::string path(peer.sun_path, strnlen(peer.sun_path, sizeof peer.sun_path));
  return path == parts_.runtime.liveupdate_socket() || path == parts_.runtime.control_socket();
}

void Device::close(Connection& connection, std::string_view why) {
  const uint64_t address = connection.address;
  log_debug("connection of uid {} pid {}: {}", connection.slot->uid, connection.slot->pid, why);
  parts_.closer.charge(connection.slot->uid);
  parts_.loop.remove(connection.fd());
  if (connection.slot->role == static_cast<uint64_t>(abi::ConnectionRole::kSession)) {
    own_inodes_.erase(connection.slot->peer_inode);
    own_inodes_.erase(inode_of(connection.fd()));
    drop_session(connection);
  }
  const bool participant = connection.slot->participant != 0;
  const BorrowedFd fd = connection.fd();
  const int64_t reply_fd = connection.slot->reply_fd;
  forget_unread(connection);
  if (--by_uid_[connection.slot->uid] == 0) by_uid_.erase(connection.slot->uid);
  {
    luo::Change change(parts_.records());
    change.remove(*connection.slot);
    change.commit();
  }
  connections_.erase(address);
  parts_.store.release(fd);
  if (reply_fd >= 0) parts_.closer.close(BorrowedFd(static_cast<int>(reply_fd)));
  if (participant) parts_.core.updates().connection_closed(address);
}

// The last fd of a session is closed. Natively an incoming one stays claimable (a lease), and so
// does what a supervised service leaves when it dies.
void Device::drop_session(Connection& connection) {
  luo::Session* session = parts_.core.sessions().at(connection.slot->session);
  if (session == nullptr) return;
  luo::Sessions& sessions = parts_.core.sessions();
  sessions.drop_holder(*session, connection.address);
  const luo::Caller caller = connection.caller();
  const auto* service = parts_.core.services().at(caller.service);
  bool keep = sessions.direction(*session, caller) == luo::Direction::kIncoming ||
              (session->slot->flags & abi::kSessionLinger) != 0;
  // Empty, it is nothing that anybody would claim.
  if (session->slot->service == 0 && session->files.size() == 0) keep = false;
  if (service != nullptr) {
    // A stale or a successor's claim says nothing about the session. A dying process closes all it
    // has: then it is its death, not its wish.
    keep = keep || caller.generation != service->generation ||
           supervisor_.is_dying(connection.slot->pid);
  }
  if (!session->holders.empty()) return;
  if (requests_->let_go_direct(*session)) return;
  if (keep && !mutant("lease-dropped")) {
    unheld(*session);
    return;
  }
  const Status ended = parts_.core.end_session(*session, false);
  if (!ended) log_warning("session '{}': {}", session->name, ended.error().message);
}

void Device::unheld(luo::Session& session) {
  luo::Change change(parts_.records());
  parts_.core.leases().unheld(change, session);
  change.commit();
  parts_.core.leases().start(session);
}

void Device::release_fds(std::vector<UniqueFd>& fds) {
  for (UniqueFd& fd : fds) {
    if (fd.valid()) parts_.closer.close(BorrowedFd(fd.release()));
  }
  fds.clear();
}

}  // namespace outlive::daemon
