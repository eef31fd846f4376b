// Requests on session connections.
#include <string.h>

#include "base/log.h"
#include "base/mutant.h"
#include "daemon/device.h"
#include "daemon/requests.h"
#include "daemon/supervisor.h"
#include "wire/body.h"

namespace outlive::daemon {

using abi::Request;
using luo::Direction;
using luo::Session;

Requests::Handler Requests::session_handler(Request request) {
  switch (request) {
    case Request::kPreserveFd:
      return &Requests::preserve_fd;
    case Request::kPreserveMany:
      return &Requests::preserve_many;
    case Request::kUnpreserveFd:
      return &Requests::unpreserve_fd;
    case Request::kUnpreserveMany:
      return &Requests::unpreserve_many;
    case Request::kRetrieveFd:
      return &Requests::retrieve_fd;
    case Request::kRetrieveMany:
      return &Requests::retrieve_many;
    case Request::kFinish:
      return &Requests::finish;
    case Request::kAdopt:
      return &Requests::adopt;
    case Request::kGetName:
      return &Requests::get_name;
    case Request::kListFiles:
      return &Requests::list_files;
    case Request::kKernelSession:
      return &Requests::kernel_session;
    default:
      return nullptr;
  }
}

// The kernel's order of checks: the size can be read, the direction fits, and then all the rest.
Status Requests::check_direction(Connection& connection, const wire::Message& message) {
  const Session* session = parts_.core.sessions().at(connection.slot->session);
  if (session != nullptr && luo::is_direct(*session) && is_for_plain(message.request())) {
    return fail(EINVAL, "session '{}' is direct: its files are asked of the kernel's own session",
                session->name);
  }
  switch (message.request()) {
    case Request::kPreserveFd:
    case Request::kPreserveMany:
      TRY(wire::body_size(message.body, 0));
      TRY(session_of(connection, Direction::kOutgoing));
      return {};
    case Request::kRetrieveFd:
    case Request::kRetrieveMany:
    case Request::kFinish:
      TRY(wire::body_size(message.body, 0));
      TRY(session_of(connection, Direction::kIncoming));
      return {};
    default:
      return {};
  }
}

// What these make stays in the arena until somebody takes it away.
bool Requests::takes_room(Request request) {
  return request == Request::kCreateSession || request == Request::kPreserveFd ||
         request == Request::kPreserveMany || request == Request::kAddSubtree;
}

Outcome Requests::handle(Connection& connection, wire::Message& message) {
  const bool device = connection.slot->role == static_cast<uint64_t>(abi::ConnectionRole::kDevice);
  const Handler handler =
      device ? device_handler(message.request()) : session_handler(message.request());
  if (handler == nullptr) {
    return Outcome::error(fail(EINVAL, "request {:#x} is none of a {}'s",
                               unsigned{message.header.request}, device ? "device" : "session"));
  }
  if (const Status fits = device ? Status{} : check_direction(connection, message); !fits) {
    return Outcome::error(fits.error());
  }
  const Status room =
      takes_room(message.request()) ? parts_.room_in_arena(connection.slot->uid) : Status{};
  Result<Outcome> outcome = room ? (this->*handler)(connection, message) : room.error();
  if (outcome) return std::move(*outcome);
  const int code = outcome.error().code;
  if (code == EDQUOT || code == ENOSPC || code == EPERM || code == EMFILE) {
    parts_.refusals.refused(
        connection.slot->uid, parts_.now(),
        fmt::format("{} (pid {})", outcome.error().message, connection.slot->pid));
  }
  return Outcome::error(outcome.error());
}

Outcome Requests::done(std::vector<std::byte> body) {
  Outcome outcome;
  outcome.body = std::move(body);
  return outcome;
}

Outcome Requests::echo(const wire::Message& message) {
  Outcome outcome;
  outcome.body.assign(message.body.begin(), message.body.end());
  outcome.committed = true;
  return outcome;
}

luo::Core::Also Requests::reply_words(Connection& connection, const wire::Message& message) {
  return [this, &connection, sequence = message.header.sequence](luo::Change& change) {
    device_.record_reply(change, connection, sequence, 0);
  };
}

Result<Session*> Requests::session_of(Connection& connection, Direction wanted) {
  Session* session = parts_.core.sessions().at(connection.slot->session);
  if (session == nullptr) return fail(ESTALE, "the session has ended");
  const luo::Caller caller = connection.caller();
  if (const auto* service = parts_.core.services().at(caller.service); service != nullptr) {
    switch (parts_.core.updates().access(*service, caller.generation)) {
      case luo::Updates::Access::kStale:
        return fail(ESTALE, "session '{}' belongs to the next version now", session->name);
      case luo::Updates::Access::kNotOffered:
        if (wanted == Direction::kIncoming) {
          return fail(EAGAIN, "session '{}' is not offered yet: wait for adopt", session->name);
        }
        break;
      default:
        break;
    }
  }
  if (parts_.core.sessions().direction(*session, caller) != wanted) {
    return fail(EINVAL, "session '{}' is {}", session->name,
                wanted == Direction::kIncoming ? "outgoing" : "incoming");
  }
  return session;
}

// In either direction; only who was replaced has no business with it any more.
Result<Session*> Requests::known_session(Connection& connection) {
  Session* session = parts_.core.sessions().at(connection.slot->session);
  if (session == nullptr) return fail(ESTALE, "the session has ended");
  const luo::Caller caller = connection.caller();
  const auto* service = parts_.core.services().at(caller.service);
  if (service != nullptr &&
      parts_.core.updates().access(*service, caller.generation) == luo::Updates::Access::kStale) {
    return fail(ESTALE, "session '{}' belongs to the next version now", session->name);
  }
  return session;
}

Result<Session*> Requests::changeable(Connection& connection) {
  Session* session = TRY(session_of(connection, Direction::kOutgoing));
  const auto* service = parts_.core.services().at(connection.slot->service);
  if (service != nullptr && connection.slot->generation == service->generation) {
    for (const auto& one :
         device_.participants(connection.slot->service, connection.slot->generation)) {
      if (parts_.core.updates().frozen_for(*service, one.connection)) {
        return fail(EBUSY, "session '{}' is frozen by an update", session->name);
      }
    }
  }
  return session;
}

Result<Outcome> Requests::preserve_fd(Connection& connection, wire::Message& message) {
  const auto body = TRY(wire::read_body<abi::FdRequest>(message.body));
  const uint64_t tokens[] = {body.token};
  return preserve(connection, message, tokens);
}

Result<Outcome> Requests::preserve_many(Connection& connection, wire::Message& message) {
  const auto body = TRY(wire::read_body<abi::ManyRequest>(message.body));
  if (body.count == 0 || body.count > abi::kMaxFds) {
    return fail(EINVAL, "{} files, 1 to {} go into one request", body.count, abi::kMaxFds);
  }
  const auto tokens = TRY(wire::read_tail<uint64_t>(message.body, body.count));
  return preserve(connection, message, tokens);
}

Result<Outcome> Requests::preserve(Connection& connection, wire::Message& message,
                                   std::span<const uint64_t> tokens) {
  TRY(enabled());
  Session* session = TRY(changeable(connection));
  for (const uint64_t token : tokens) {  // before the fds, as the kernel
    if (session->files.find(token) != nullptr) {
      return fail(EEXIST, "session '{}': token {:#x} is used", session->name, token);
    }
  }
  TRY(wire::expect_fds(message, tokens.size()));
  for (const UniqueFd& fd : message.fds) {
    if (parts_.in_reserve(fd, connection.slot->uid)) {
      return fail(EMFILE, "session '{}': outlived's table of {} descriptors is full", session->name,
                  parts_.fd_limit);
    }
  }
  std::vector<luo::NewFile> files;
  for (size_t i = 0; i < tokens.size(); ++i) files.push_back({tokens[i], message.fds[i]});
  luo::Change change(parts_.records());
  auto preserving = TRY(parts_.core.files().preserve(change, *session, files));
  device_.record_reply(change, connection, message.header.sequence, 0);
  change.commit();
  preserving.committed();
  for (UniqueFd& fd : message.fds) static_cast<void>(fd.release());  // the records hold them
  return echo(message);
}

void Requests::mend(Connection& connection, wire::Message& message) {
  Session* session = parts_.core.sessions().at(connection.slot->session);
  std::vector<uint64_t> tokens;
  if (message.request() == abi::Request::kPreserveFd) {
    const auto body = wire::read_body<abi::FdRequest>(message.body);
    if (body) tokens = {body->token};
  } else if (message.request() == abi::Request::kPreserveMany) {
    const auto body = wire::read_body<abi::ManyRequest>(message.body);
    auto tail = body ? wire::read_tail<uint64_t>(message.body, body->count)
                     : Result<std::vector<uint64_t>>(fail(EINVAL, "no body"));
    if (tail) tokens = tail.take();
  }
  if (session == nullptr || tokens.size() != message.fds.size()) return;
  for (size_t i = 0; i < tokens.size(); ++i) {
    abi::FileSlot* slot = session->files.find(tokens[i]);
    if (slot == nullptr || slot->fd >= 0) continue;
    luo::Change change(parts_.records());
    change.set(slot->fd, int64_t{message.fds[i].get()});
    change.set(slot->failed, uint64_t{0});
    change.commit();
    parts_.store.hold(message.fds[i]);
    static_cast<void>(message.fds[i].release());
    log_notice("session '{}' token {:#x}: not lost, its request brought it again", session->name,
               tokens[i]);
  }
}

Result<Outcome> Requests::unpreserve_fd(Connection& connection, wire::Message& message) {
  const auto body = TRY(wire::read_body<abi::FdRequest>(message.body));
  const uint64_t tokens[] = {body.token};
  return unpreserve(connection, message, tokens);
}

Result<Outcome> Requests::unpreserve_many(Connection& connection, wire::Message& message) {
  const auto body = TRY(wire::read_body<abi::ManyRequest>(message.body));
  if (body.count == 0 || body.count > abi::kMaxFds) {
    return fail(EINVAL, "{} files, 1 to {} go into one request", body.count, abi::kMaxFds);
  }
  const auto tokens = TRY(wire::read_tail<uint64_t>(message.body, body.count));
  return unpreserve(connection, message, tokens);
}

Result<Outcome> Requests::unpreserve(Connection& connection, wire::Message& message,
                                     std::span<const uint64_t> tokens) {
  Session* session = TRY(changeable(connection));
  std::vector<abi::FileSlot*> files;
  for (const uint64_t token : tokens) {
    abi::FileSlot* slot = session->files.find(token);
    if (slot == nullptr) return fail(ENOENT, "session '{}': no token {:#x}", session->name, token);
    if (std::find(files.begin(), files.end(), slot) != files.end()) {
      return fail(EINVAL, "session '{}': token {:#x} twice in a request", session->name, token);
    }
    files.push_back(slot);
  }
  luo::Change change(parts_.records());
  auto removing = parts_.core.files().remove(change, *session, std::move(files), false);
  device_.record_reply(change, connection, message.header.sequence, 0);
  change.commit();
  removing.committed();
  return echo(message);
}

Result<Outcome> Requests::retrieve_fd(Connection& connection, wire::Message& message) {
  const auto body = TRY(wire::read_body<abi::FdRequest>(message.body));
  const uint64_t tokens[] = {body.token};
  return retrieve(connection, message, tokens);
}

Result<Outcome> Requests::retrieve_many(Connection& connection, wire::Message& message) {
  const auto body = TRY(wire::read_body<abi::ManyRequest>(message.body));
  if (body.count == 0 || body.count > abi::kMaxFds) {
    return fail(EINVAL, "{} files, 1 to {} go into one request", body.count, abi::kMaxFds);
  }
  const auto tokens = TRY(wire::read_tail<uint64_t>(message.body, body.count));
  return retrieve(connection, message, tokens);
}

Result<Outcome> Requests::retrieve(Connection& connection, wire::Message& message,
                                   std::span<const uint64_t> tokens) {
  Session* session = TRY(session_of(connection, Direction::kIncoming));
  Outcome outcome = echo(message);
  luo::Change change(parts_.records());
  Error refused{0, {}};
  for (const uint64_t token : tokens) {
    Result<BorrowedFd> fd = parts_.core.files().retrieve(change, *session, token);
    if (!fd) {
      refused = fd.take_error();
      break;
    }
    outcome.fds.push_back(*fd);
  }
  // A failed retrieve is an outcome that is kept, too: the record says so for ever.
  if (refused.code != 0) outcome = Outcome::error(refused);
  device_.record_reply(change, connection, message.header.sequence, outcome.result);
  change.commit();
  outcome.committed = true;
  return outcome;
}

Result<Outcome> Requests::finish(Connection& connection, wire::Message& message) {
  const auto body = TRY(wire::read_body<abi::FinishRequest>(message.body));
  Session* session = TRY(session_of(connection, Direction::kIncoming));
  if (body.reserved != 0) return fail(EINVAL, "finish: reserved is {}, not 0", body.reserved);
  auto* service = parts_.core.services().at(connection.slot->service);
  if (service != nullptr && connection.slot->generation != service->generation) {
    return fail(EBUSY, "session '{}': finish comes after committed", session->name);
  }
  const luo::Core::Also reply = reply_words(connection, message);
  // The reply goes with the last change: a death before it, and the request is repeated.
  TRY(parts_.core.finish_files(*session, mutant("finish-replied-early") ? reply : nullptr));
  // Empty, it is nobody's inheritance any more; when an outgoing one has its name, it just ends.
  // A direct one has nothing more to come: the kernel's session can't be adopted.
  const Status adopted = luo::is_direct(*session) ? Status(fail(EINVAL, "direct"))
                         : service != nullptr     ? parts_.core.adopt(*session, *service, reply)
                                                  : parts_.core.adopt_plain(*session, reply);
  if (!adopted) TRY(parts_.core.end_session(*session, true, reply));
  Outcome outcome = echo(message);
  if (service != nullptr) {
    outcome.after = [this, service] { parts_.core.updates().sessions_changed(*service); };
  }
  return outcome;
}

Result<Outcome> Requests::adopt(Connection& connection, wire::Message& message) {
  TRY(wire::read_body<abi::SizeOnly>(message.body));
  Session* session = TRY(session_of(connection, Direction::kIncoming));
  if (session->slot->service == 0) {
    TRY(parts_.core.adopt_plain(*session, reply_words(connection, message)));
    return echo(message);
  }
  abi::ServiceSlot* service = TRY(service_of(connection));
  if (connection.slot->generation != service->generation) {
    return fail(EBUSY, "session '{}': adopt comes after committed", session->name);
  }
  TRY(parts_.core.adopt(*session, *service, reply_words(connection, message)));
  Outcome outcome = echo(message);
  outcome.after = [this, service] { parts_.core.updates().sessions_changed(*service); };
  return outcome;
}

Result<Outcome> Requests::get_name(Connection& connection, wire::Message& message) {
  auto body = TRY(wire::read_body<abi::GetNameRequest>(message.body));
  const Session* session = TRY(known_session(connection));
  wire::write_name(session->name, body.name);
  return done(pack(body));
}

Result<Outcome> Requests::list_files(Connection& connection, wire::Message& message) {
  const auto body = TRY(wire::read_body<abi::ListRequest>(message.body));
  const Session* session = TRY(known_session(connection));
  constexpr size_t kMost = (abi::kMaxBody - sizeof(abi::ListReply)) / sizeof(abi::FileEntry);
  std::vector<abi::FileEntry> entries;
  auto reply = wire::sized<abi::ListReply>();
  for (const abi::FileSlot* slot : session->files.ordered()) {
    if (slot->order <= body.after) continue;
    if (entries.size() == kMost) {
      reply.next = entries.back().order;
      break;
    }
    abi::FileEntry entry{};
    entry.token = slot->token;
    entry.order = slot->order;
    entry.retrieved = (slot->flags & abi::kFileRetrieved) != 0;
    if (const auto facts = parts_.core.context().classify(BorrowedFd(static_cast<int>(slot->fd)))) {
      entry.survival =
          static_cast<uint32_t>(parts_.core.files().handler_of(*slot)->survival(*facts));
    }
    memcpy(entry.compatible, slot->compatible, sizeof entry.compatible);
    entries.push_back(entry);
  }
  reply.count = static_cast<uint32_t>(entries.size());
  return done(pack(reply, entries));
}

}  // namespace outlive::daemon
