// Sessions: what an operator does with one.
#include "daemon/methods.h"

namespace outlive::daemon {

using wire::Json;

// Idempotent enough to need no request id: repeated after a death it finds nothing (NotFound).
Result<std::optional<Json>> Methods::end_session(const luo::Caller& caller, const Json& parameters,
                                                 Waiting&) {
  TRY(wire::only_params(parameters, {"session", "id"}));
  const auto name = TRY(wire::param<std::string>(parameters, "session"));
  const auto wanted = TRY(wire::param<std::optional<std::string>>(parameters, "id"));
  uint64_t id = 0;
  if (wanted) id = TRY(wire::hex_param(parameters, "id"));
  std::vector<luo::Session*> found;
  parts_.core.sessions().for_each([&](luo::Session& session) {
    const bool internal = (session.slot->flags & abi::kSessionInternal) != 0;
    if (internal || session.name != name || !parts_.core.sessions().sees(caller, session)) return;
    if (!wanted || session.slot->header.id == id) found.push_back(&session);
  });
  if (found.empty()) return fail(ENOENT, "no session '{}'", name);
  if (found.size() > 1) {
    std::string ids;
    for (const luo::Session* one : found) ids += " " + wire::hex_text(one->slot->header.id);
    return fail(EINVAL, "{} sessions are named '{}': --id says which one:{}", found.size(), name,
                ids);
  }
  luo::Session& session = *found.front();
  abi::ServiceSlot* service = parts_.core.services().at(session.slot->service);
  const bool frozen =
      service != nullptr && parts_.core.updates().state(*service) == luo::State::kFrozen;
  if (frozen) return fail(EBUSY, "session '{}' is frozen by an update", name);
  const size_t files = session.files.size();
  TRY(parts_.core.end_session(session, false));
  if (service != nullptr) parts_.core.updates().sessions_changed(*service);
  return std::optional(Json{{"files", files}});
}

}  // namespace outlive::daemon
