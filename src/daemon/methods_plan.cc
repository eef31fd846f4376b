// Plan: what an update would keep and lose, or what becomes of the descriptors of any process.
//
// A process's descriptors are surveyed in a throw-away child: looking at a file of a dead network
// file system can block for ever, and the worker must not.
#include <algorithm>

#include "daemon/device.h"
#include "daemon/methods.h"
#include "files/survey.h"
#include "files/survival.h"

namespace outlive::daemon {

using wire::Json;

namespace {

Result<luo::Scope> scope_param(const Json& parameters) {
  const auto text = TRY(wire::param<std::optional<std::string>>(parameters, "scope"));
  if (!text) return luo::Scope::kService;
  for (const luo::Scope scope : files::kScopes) {
    if (*text == luo::name_of(scope)) return scope;
  }
  return wire::bad_param("scope", "service, daemon, host or kernel is expected");
}

}  // namespace

Result<std::optional<Json>> Methods::plan(const luo::Caller& caller, const Json& parameters,
                                          Waiting&) {
  TRY(wire::only_params(parameters, {"name", "pid", "scope", "after"}));
  const luo::Scope scope = TRY(scope_param(parameters));
  const auto name = TRY(wire::param<std::optional<std::string>>(parameters, "name"));
  const auto after = TRY(wire::param<std::optional<std::string>>(parameters, "after"));
  uint64_t from = 0;
  if (after) from = TRY(wire::hex_param(parameters, "after"));
  if (!name)
    return wire::bad_param("name", "which service? A process is surveyed by `outlive plan --pid`");
  const abi::ServiceSlot* service = TRY(service_named(caller, *name));
  const uint64_t address = parts_.core.services().address_of(*service);
  std::vector<luo::Session*> sessions;
  parts_.core.sessions().for_each([&](luo::Session& session) {
    if (session.slot->service == address) sessions.push_back(&session);
  });
  Json list = Json::array();
  Json next;
  int64_t lost = 0;
  uint64_t total = 0;
  constexpr size_t kMost = 200;
  for (const abi::FileSlot* slot : parts_.core.files().ordered(sessions)) {
    const auto facts = parts_.core.context().classify(BorrowedFd(static_cast<int>(slot->fd)));
    if (!facts) return facts.error();
    const files::Crossing crossing = files::crossing(*facts, scope);
    ++total;
    if (crossing.lost) ++lost;
    if (slot->order <= from || !next.is_null()) continue;
    if (list.size() == kMost) {
      next = list.back()["order"];
      continue;
    }
    list.push_back(Json{{"session", parts_.core.sessions().at(slot->session)->name},
                        {"token", wire::hex_text(slot->token)},
                        {"fd", nullptr},
                        {"kind", files::survival_row(facts->kind).name},
                        {"detail", facts->detail},
                        {"survival", name_of(files::survival_class(*facts))},
                        {"crosses", files::text_of(crossing)},
                        {"note", crossing.text},
                        {"order", wire::hex_text(slot->order)}});
  }
  for (Json& entry : list) entry.erase("order");
  Json participants = Json::array();
  for (const auto& one : device_.participants(address, service->generation)) {
    static_cast<void>(one);
    participants.push_back(fmt::format("{} (generation {})", service->name, service->generation));
  }
  const std::string would =
      lost == 0
          ? fmt::format("an update of scope {} would keep all {} files in {} sessions",
                        luo::name_of(scope), total, sessions.size())
          : fmt::format("an update of scope {} would lose {} of {} files: refused by policy fail",
                        luo::name_of(scope), lost, total);
  return std::optional(Json{{"files", std::move(list)},
                            {"participants", std::move(participants)},
                            {"lost", lost},
                            {"would", would},
                            {"next", next}});
}

}  // namespace outlive::daemon
