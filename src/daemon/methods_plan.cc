// Plan: what an update would keep and lose, or what becomes of the descriptors of any process.
//
// A process's descriptors are surveyed in a throw-away child: looking at a file of a dead network
// file system can block for ever, and the worker must not.
//
// A service's files come in parts, and only those of the part are looked at: some system calls
// each, a turn of the loop that everybody waits for. A part ends when its time is over, too: how
// long a look takes is the file's choice. The counts go along from part to part, in `next`.
#include <algorithm>
#include <charconv>

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

// Where a part begins, and what was counted before it. Only the asker relies on it: it is his own
// plan that is wrong when he makes one up.
struct Place {
  uint64_t order = 0;  // of the last file told
  uint64_t total = 0;
  uint64_t lost = 0;
};

std::string text_of(const Place& place) {
  return fmt::format("{:x}-{:x}-{:x}", place.order, place.total, place.lost);
}

Result<Place> place_param(const Json& parameters) {
  Place place;
  const auto text = TRY(wire::param<std::optional<std::string>>(parameters, "after"));
  if (!text) return place;
  const char* at = text->data();
  const char* end = at + text->size();
  for (uint64_t* word : {&place.order, &place.total, &place.lost}) {
    const auto [rest, code] = std::from_chars(at, end, *word, 16);
    const bool last = word == &place.lost;
    if (code != std::errc() || (last ? rest != end : rest == end || *rest != '-')) {
      return wire::bad_param("after", "the `next` of the part before is expected");
    }
    at = last ? rest : rest + 1;
  }
  return place;
}

}  // namespace

Result<std::optional<Json>> Methods::plan(const luo::Caller& caller, const Json& parameters,
                                          Waiting&) {
  TRY(wire::only_params(parameters, {"name", "pid", "scope", "after"}));
  const luo::Scope scope = TRY(scope_param(parameters));
  const auto name = TRY(wire::param<std::optional<std::string>>(parameters, "name"));
  Place place = TRY(place_param(parameters));
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
  constexpr size_t kMost = 200;
  const uint64_t from = place.order;
  const uint64_t ends = parts_.now() + kPartNs;
  for (const abi::FileSlot* slot : parts_.core.files().ordered_after(sessions, from, kMost + 1)) {
    if (list.size() == kMost || (!list.empty() && parts_.now() >= ends)) {
      next = text_of(place);
      break;
    }
    const auto facts = parts_.core.context().classify(BorrowedFd(static_cast<int>(slot->fd)));
    if (!facts) return facts.error();
    const files::Crossing crossing = files::crossing(*facts, scope);
    place.order = slot->order;
    ++place.total;
    if (crossing.lost) ++place.lost;
    list.push_back(Json{{"session", parts_.core.sessions().at(slot->session)->name},
                        {"token", wire::hex_text(slot->token)},
                        {"fd", nullptr},
                        {"kind", files::survival_row(facts->kind).name},
                        {"detail", facts->detail},
                        {"survival", name_of(files::survival_class(*facts))},
                        {"crosses", files::text_of(crossing)},
                        {"note", crossing.text}});
  }
  Json participants = Json::array();
  for (const auto& one : device_.participants(address, service->generation)) {
    static_cast<void>(one);
    participants.push_back(fmt::format("{} (generation {})", service->name, service->generation));
  }
  std::string would =
      place.lost == 0
          ? fmt::format("an update of scope {} would keep all {} files in {} sessions",
                        luo::name_of(scope), place.total, sessions.size())
          : fmt::format("an update of scope {} would lose {} of {} files: refused by policy fail",
                        luo::name_of(scope), place.lost, place.total);
  if (!next.is_null()) would += "; more files follow";
  return std::optional(Json{{"files", std::move(list)},
                            {"participants", std::move(participants)},
                            {"lost", place.lost},
                            {"would", would},
                            {"next", next}});
}

}  // namespace outlive::daemon
