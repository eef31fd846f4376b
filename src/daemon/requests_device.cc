// Requests on device connections.
#include <string.h>

#include <algorithm>

#include "base/sys.h"
#include "daemon/device.h"
#include "daemon/requests.h"
#include "daemon/supervisor.h"
#include "wire/body.h"

namespace outlive::daemon {

using abi::Request;
using luo::Session;

Requests::Handler Requests::device_handler(Request request) {
  switch (request) {
    case Request::kCreateSession:
      return &Requests::create_session;
    case Request::kRetrieveSession:
      return &Requests::retrieve_session;
    case Request::kEndSession:
      return &Requests::end_session;
    case Request::kList:
      return &Requests::list;
    case Request::kStatus:
      return &Requests::status;
    case Request::kAddSubtree:
      return &Requests::add_subtree;
    case Request::kRemoveSubtree:
      return &Requests::remove_subtree;
    case Request::kRetrieveSubtree:
      return &Requests::retrieve_subtree;
    case Request::kParticipate:
      return &Requests::participate;
    case Request::kReady:
      return &Requests::ready;
    case Request::kVeto:
      return &Requests::veto;
    case Request::kPreviewList:
      return &Requests::preview_list;
    case Request::kPreviewMany:
      return &Requests::preview_many;
    case Request::kFdDataQuery:
      return &Requests::fd_data_query;
    case Request::kAdoptAll:
      return &Requests::adopt_all;
    case Request::kFinishAll:
      return &Requests::finish_all;
    default:
      return nullptr;
  }
}

Status Requests::enabled() const {
  if (parts_.config.liveupdate_enabled) return {};
  return fail(EOPNOTSUPP, "live updates are off ([liveupdate] enabled = false)");
}

Result<abi::ServiceSlot*> Requests::service_of(Connection& connection) {
  auto* service = parts_.core.services().at(connection.slot->service);
  if (service == nullptr) {
    return fail(EINVAL, "pid {} is no service that outlived started", connection.slot->pid);
  }
  return service;
}

Result<Outcome> Requests::create_session(Connection& connection, wire::Message& message) {
  const auto body = TRY(wire::read_body<abi::SessionRequest>(message.body));
  TRY(enabled());
  const std::string name = TRY(luo::name_from_field(body.name));
  if (name[0] == '@') return fail(EPERM, "session '{}': names with @ are outlived's own", name);
  if (const auto* service = parts_.core.services().at(connection.slot->service);
      service != nullptr && connection.slot->generation < service->generation) {
    return fail(ESTALE, "session '{}': this process was replaced", name);
  }
  luo::Change change(parts_.records());
  uint64_t flags = message.header.flags & abi::kFlagLinger ? abi::kSessionLinger : 0;
  luo::Caller caller = connection.caller();
  if (message.header.flags & abi::kFlagDirect) {
    TRY(direct_possible().context("session '{}'", name));
    flags = abi::kSessionDirect;
    caller.service = 0;  // nothing that an update of a service could hand on
    caller.generation = 0;
  }
  abi::SessionSlot* slot = TRY(parts_.core.sessions().create(change, caller, name, flags));
  abi::ConnectionSlot* made = nullptr;
  TRY(device_.add_session_connection(change, connection, *slot, parts_.records().address_of(slot),
                                     &made));
  change.commit();
  parts_.core.sessions().index(*slot);
  device_.committed_session_connection(*made);
  Outcome outcome = echo(message);
  outcome.fds.emplace_back(static_cast<int>(connection.slot->reply_fd));
  return outcome;
}

Result<Outcome> Requests::retrieve_session(Connection& connection, wire::Message& message) {
  const auto body = TRY(wire::read_body<abi::SessionRequest>(message.body));
  TRY(enabled());
  const std::string name = TRY(luo::name_from_field(body.name));
  const luo::Caller caller = connection.caller();
  if (const auto* service = parts_.core.services().at(caller.service); service != nullptr) {
    switch (parts_.core.updates().access(*service, caller.generation)) {
      case luo::Updates::Access::kNotOffered:
        return fail(EAGAIN, "session '{}' is not offered yet: wait for adopt", name);
      case luo::Updates::Access::kStale:
        return fail(ESTALE, "session '{}': this process was replaced", name);
      default:
        break;
    }
  }
  Session* session = TRY(parts_.core.sessions().retrieve(caller, name));
  luo::Change change(parts_.records());
  abi::ConnectionSlot* made = nullptr;
  TRY(device_.add_session_connection(change, connection, *session->slot, session->address, &made));
  parts_.core.leases().claimed(change, *session);
  change.commit();
  device_.committed_session_connection(*made);
  Outcome outcome = echo(message);
  outcome.fds.emplace_back(static_cast<int>(connection.slot->reply_fd));
  return outcome;
}

Result<Outcome> Requests::end_session(Connection& connection, wire::Message& message) {
  const auto body = TRY(wire::read_body<abi::SessionRequest>(message.body));
  const std::string name = TRY(luo::name_from_field(body.name));
  Session* session = parts_.core.sessions().find(connection.caller(), name);
  if (session == nullptr) return fail(ENOENT, "no session '{}'", name);
  auto* service = parts_.core.services().at(session->slot->service);
  if (service != nullptr) {
    const bool own = connection.slot->service == session->slot->service;
    if (own && connection.slot->generation != service->generation) {
      return fail(ESTALE, "session '{}': this process does not own it", name);
    }
    if (parts_.core.updates().state(*service) == luo::State::kFrozen) {
      return fail(EBUSY, "session '{}' is frozen by an update", name);
    }
  }
  TRY(parts_.core.end_session(*session, false, reply_words(connection, message)));
  Outcome outcome = echo(message);
  if (service != nullptr) {
    outcome.after = [this, service] { parts_.core.updates().sessions_changed(*service); };
  }
  return outcome;
}

Result<Outcome> Requests::list(Connection& connection, wire::Message& message) {
  const auto body = TRY(wire::read_body<abi::ListRequest>(message.body));
  constexpr size_t kMost = (abi::kMaxBody - sizeof(abi::ListReply)) / sizeof(abi::ListEntry);
  std::vector<abi::ListEntry> entries;
  auto reply = wire::sized<abi::ListReply>();
  const luo::Caller caller = connection.caller();
  parts_.core.sessions().for_each([&](Session& session) {
    const uint64_t id = session.slot->header.id;
    if (!parts_.core.sessions().sees(caller, session) || id <= body.after || reply.next != 0)
      return;
    if (entries.size() == kMost) {
      reply.next = entries.back().id;
      return;
    }
    abi::ListEntry entry{};
    entry.id = id;
    entry.uid = static_cast<uint32_t>(session.uid);
    entry.direction = parts_.core.sessions().direction(session, caller) == luo::Direction::kIncoming
                          ? abi::kDirectionIncoming
                          : abi::kDirectionOutgoing;
    entry.claimed = !session.holders.empty();
    entry.files = static_cast<uint32_t>(session.files.size());
    memcpy(entry.name, session.name.data(), session.name.size());
    if (const auto* service = parts_.core.services().at(session.slot->service)) {
      memcpy(entry.service, service->name, sizeof entry.service);
    }
    entries.push_back(entry);
  });
  reply.count = static_cast<uint32_t>(entries.size());
  return done(pack(reply, entries));
}

Result<Outcome> Requests::status(Connection& connection, wire::Message& message) {
  TRY(wire::read_body<abi::StatusRequest>(message.body));
  auto reply = wire::sized<abi::StatusReply>();
  reply.state = static_cast<uint32_t>(parts_.core.state());
  reply.live_update_number = parts_.records().root().live_update_number;
  const luo::Caller caller = connection.caller();
  parts_.core.sessions().for_each([&](Session& session) {
    if (!parts_.core.sessions().sees(caller, session)) return;
    ++reply.sessions;
    reply.files += session.files.size();
  });
  parts_.core.services().for_each([&](abi::ServiceSlot& service) {
    if (luo::in_progress(parts_.core.updates().state(service))) reply.in_progress = 1;
  });
  reply.enabled = parts_.config.liveupdate_enabled;
  return done(pack(reply));
}

Result<Outcome> Requests::add_subtree(Connection& connection, wire::Message& message) {
  if (!parts_.config.kho_enabled) {
    return fail(EOPNOTSUPP, "KHO is off ([kho] enabled = false)");
  }
  const auto body = TRY(wire::read_body<abi::SubtreeRequest>(message.body));
  const std::string name = TRY(luo::name_from_field(body.name));
  const auto bytes = TRY(wire::read_tail<std::byte>(message.body, body.length));
  luo::Change change(parts_.records());
  auto adding = TRY(parts_.core.subtrees().add(change, connection.caller(), name, bytes));
  device_.record_reply(change, connection, message.header.sequence, 0);
  change.commit();
  adding.committed();
  Outcome outcome = echo(message);
  outcome.body.resize(sizeof(abi::SubtreeRequest));
  return outcome;
}

Result<Outcome> Requests::remove_subtree(Connection& connection, wire::Message& message) {
  const auto body = TRY(wire::read_body<abi::SubtreeRequest>(message.body));
  const std::string name = TRY(luo::name_from_field(body.name));
  luo::Change change(parts_.records());
  auto removing = TRY(parts_.core.subtrees().remove(change, connection.caller(), name));
  device_.record_reply(change, connection, message.header.sequence, 0);
  change.commit();
  removing.committed();
  return echo(message);
}

Result<Outcome> Requests::retrieve_subtree(Connection& connection, wire::Message& message) {
  auto body = TRY(wire::read_body<abi::SubtreeRequest>(message.body));
  const std::string name = TRY(luo::name_from_field(body.name));
  const auto bytes = TRY(parts_.core.subtrees().find(connection.caller(), name));
  body.size = sizeof body;
  body.length = static_cast<uint32_t>(bytes.size());
  return done(pack(body, std::vector<std::byte>(bytes.begin(), bytes.end())));
}

Result<Outcome> Requests::participate(Connection& connection, wire::Message& message) {
  const auto body = TRY(wire::read_body<abi::ParticipateRequest>(message.body));
  const int64_t pid = sys::is_peer_gone(connection.fd()) ? 0 : connection.slot->pid;
  const Supervisor::Identity identity = supervisor_.identify(pid, body.instance);
  auto reply = wire::sized<abi::ParticipateReply>();
  abi::ServiceSlot* service = parts_.core.services().at(identity.service);
  if (service != nullptr && service->uid != connection.slot->uid && connection.slot->uid != 0) {
    return fail(EPERM, "instance {:x} is a service of uid {}", body.instance, service->uid);
  }
  luo::Change change(parts_.records());
  if (service != nullptr) {
    change.set(connection.slot->service, identity.service);
    change.set(connection.slot->generation, identity.generation);
    change.set(connection.slot->participant, 1);
    change.set(connection.slot->versions,
               static_cast<uint64_t>(body.state_version) << 32 | body.oldest_state_version);
    memcpy(reply.service, service->name, sizeof reply.service);
    reply.update = identity.update;
    reply.role = static_cast<uint32_t>(identity.role);
  }
  device_.record_reply(change, connection, message.header.sequence, 0);
  change.commit();
  Outcome outcome = done(pack(reply));
  outcome.committed = true;
  return outcome;
}

Result<Outcome> Requests::ready(Connection& connection, wire::Message& message) {
  const auto body = TRY(wire::read_body<abi::StepRequest>(message.body));
  abi::ServiceSlot* service = TRY(service_of(connection));
  const auto step = static_cast<abi::Step>(body.step);
  const uint64_t address = connection.address;
  const uint64_t generation = connection.slot->generation;
  Outcome outcome = done();
  if (step == abi::Step::kStart && generation == service->generation) {
    outcome.after = [this, service] { supervisor_.service_ready(*service); };
    return outcome;
  }
  if (parts_.core.updates().cancelled_for_all(*service, body.update)) return outcome;
  TRY(parts_.core.updates().expects(*service, address, generation, step, body.update));
  // The next step comes after the reply: it may send events on this very connection.
  outcome.after = [this, service, address, generation, step, update = body.update] {
    const Status taken = parts_.core.updates().ready(*service, address, generation, step, update);
    static_cast<void>(taken);  // expects() has said yes, a failure is a cancel that is logged
  };
  return outcome;
}

Result<Outcome> Requests::veto(Connection& connection, wire::Message& message) {
  const auto body = TRY(wire::read_body<abi::StepRequest>(message.body));
  abi::ServiceSlot* service = TRY(service_of(connection));
  if (parts_.core.updates().cancelled_for_all(*service, body.update)) return done();
  TRY(parts_.core.updates().veto(*service, connection.address, connection.slot->generation,
                                 static_cast<abi::Step>(body.step), body.update,
                                 wire::text_of(body.reason)));
  return done();
}

Result<Outcome> Requests::fd_data_query(Connection& connection, wire::Message& message) {
  const auto body = TRY(wire::read_body<abi::DataQueryRequest>(message.body));
  if (connection.slot->uid != 0) return fail(EPERM, "handlers' data is for root only");
  constexpr size_t kMost =
      (abi::kMaxBody - sizeof(abi::DataQueryReply)) / sizeof(abi::DataQueryEntry);
  std::vector<luo::Files::DataEntry> room(std::min<size_t>(body.count, kMost));
  auto reply = wire::sized<abi::DataQueryReply>();
  const std::string_view kind(body.compatible, strnlen(body.compatible, sizeof body.compatible));
  reply.total = parts_.core.files().fd_data_query(kind, room);
  reply.count = static_cast<uint32_t>(std::min<uint64_t>(reply.total, room.size()));
  std::vector<abi::DataQueryEntry> entries;
  for (uint32_t i = 0; i < reply.count; ++i) {
    entries.push_back({room[i].session, room[i].token, room[i].data});
  }
  Outcome outcome = done(pack(reply, entries));
  // No room is an error, with the first ones filled in (abi.md section 4).
  if (reply.total > reply.count) outcome.result = -ENOSPC;
  return outcome;
}

Result<Outcome> Requests::adopt_all(Connection& connection, wire::Message& message) {
  TRY(wire::read_body<abi::SizeOnly>(message.body));
  abi::ServiceSlot* service = TRY(service_of(connection));
  if (connection.slot->generation != service->generation) {
    return fail(EBUSY, "service '{}': adopt comes after committed", service->name);
  }
  TRY(parts_.core.adopt_all(*service, reply_words(connection, message)));
  Outcome outcome = echo(message);
  outcome.after = [this, service] { parts_.core.updates().sessions_changed(*service); };
  return outcome;
}

Result<Outcome> Requests::finish_all(Connection& connection, wire::Message& message) {
  TRY(wire::read_body<abi::SizeOnly>(message.body));
  abi::ServiceSlot* service = TRY(service_of(connection));
  if (connection.slot->generation != service->generation) {
    return fail(EBUSY, "service '{}': finish comes after committed", service->name);
  }
  std::vector<Session*> incoming;
  parts_.core.sessions().for_each([&](Session& session) {
    if (session.slot->service == connection.slot->service &&
        parts_.core.sessions().direction(session) == luo::Direction::kIncoming) {
      incoming.push_back(&session);
    }
  });
  for (const Session* session : incoming) TRY(parts_.core.files().can_finish(*session));
  // Repeating it finishes the rest: each session is a commit of its own, the reply's comes last.
  for (Session* session : incoming) TRY(parts_.core.end_session(*session, true));
  Outcome outcome = done();
  outcome.after = [this, service] { parts_.core.updates().sessions_changed(*service); };
  return outcome;
}

}  // namespace outlive::daemon
