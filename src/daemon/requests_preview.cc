// A successor's look ahead: the descriptors of what the old one has preserved, before adopt. It
// gets them while the old one serves, so that the blackout has only to say which of them count.
// Changes nothing: a successor that dies has taken nothing with it.
#include "base/mutant.h"
#include "daemon/device.h"
#include "daemon/requests.h"
#include "wire/body.h"

namespace outlive::daemon {

using luo::Session;

Result<Session*> Requests::previewed_session(Connection& connection,
                                             const abi::PreviewRequest& body) {
  const std::string name = TRY(luo::name_from_field(body.name));
  const abi::ServiceSlot* service = TRY(service_of(connection));
  if (connection.slot->generation <= service->generation) {
    return fail(EINVAL, "session '{}': a preview is for a successor, until it is committed", name);
  }
  Session* session = parts_.core.sessions().of_service(connection.caller(), name);
  if (session == nullptr) return fail(ENOENT, "no session '{}'", name);
  return session;
}

Result<Outcome> Requests::preview_list(Connection& connection, wire::Message& message) {
  const auto body = TRY(wire::read_body<abi::PreviewRequest>(message.body));
  const Session* session = TRY(previewed_session(connection, body));
  connection.previews = true;
  constexpr size_t kMost = (abi::kMaxBody - sizeof(abi::ListReply)) / sizeof(abi::PreviewEntry);
  auto reply = wire::sized<abi::ListReply>();
  std::vector<abi::PreviewEntry> entries;
  entries.reserve(std::min(session->files.size(), kMost));
  session->files.each_after(body.after, [&](const abi::FileSlot& slot) {
    if (entries.size() == kMost) {
      reply.next = entries.back().order;
      return false;
    }
    entries.push_back({slot.token, slot.order});
    return true;
  });
  reply.count = static_cast<uint32_t>(entries.size());
  return done(pack(reply, entries));
}

Result<Outcome> Requests::preview_many(Connection& connection, wire::Message& message) {
  const auto body = TRY(wire::read_body<abi::PreviewRequest>(message.body));
  if (body.count == 0 || body.count > abi::kMaxFds) {
    return fail(EINVAL, "{} files, 1 to {} go into one request", uint32_t{body.count},
                abi::kMaxFds);
  }
  const auto tokens = TRY(wire::read_tail<uint64_t>(message.body, body.count));
  Session* session = TRY(previewed_session(connection, body));
  Outcome outcome = done(pack(body));
  outcome.fds.reserve(tokens.size());
  for (const uint64_t token : tokens) {
    const abi::FileSlot* slot = session->files.find(token);
    if (slot == nullptr) {
      return fail(ENOENT, "session '{}': no token {:#x}", session->name, token);
    }
    outcome.fds.emplace_back(static_cast<int>(slot->fd));
    if (mutant("preview-retrieves")) {
      luo::Change change(parts_.records());
      static_cast<void>(parts_.core.files().retrieve(change, *session, token));
      change.commit();
    }
  }
  return outcome;
}

}  // namespace outlive::daemon
