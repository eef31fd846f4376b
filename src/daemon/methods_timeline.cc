// Updates, of services and of outlived itself: which there were, and the timeline of one.
#include <unistd.h>

#include <algorithm>

#include "daemon/methods.h"
#include "daemon/self_update_timeline.h"

namespace outlive::daemon {

using wire::Json;

namespace {

constexpr size_t kMostUpdates = 200;  // of one answer

// Whoever may ask for one.
bool sees_self_updates(const luo::Caller& caller) {
  return caller.uid == 0 || caller.uid == geteuid();
}

}  // namespace

Json Methods::update_summary(const abi::UpdateSlot& update) {
  const auto* service = parts_.core.services().at(update.service);
  const bool updated = is_committed(update);
  return Json{{"update", wire::hex_text(update.header.id)},
              {"service", service != nullptr ? service->name : ""},
              {"state", luo::name_of(static_cast<luo::State>(update.state))},
              {"step", luo::name_of(static_cast<abi::UpdateStep>(update.step))},
              {"result", result_of(update)},
              {"reason", update.reason[0] != 0 ? Json(update.reason) : Json()},
              {"started", time_text(update.started_ns)},
              {"blackout_us", update.blackout_ns != 0 ? Json(update.blackout_ns / 1000) : Json()},
              {"from_generation", update.from_generation},
              {"to_generation", update.from_generation + (updated ? 1 : 0)}};
}

std::vector<const abi::UpdateSlot*> Methods::updates_of(const luo::Caller& caller) {
  std::vector<const abi::UpdateSlot*> list;
  parts_.records().for_each<abi::UpdateSlot>([&](abi::UpdateSlot& update) {
    const auto* service = parts_.core.services().at(update.service);
    if (service != nullptr && caller.owns(service->uid)) list.push_back(&update);
  });
  std::ranges::sort(list, std::greater(), [](const auto* one) { return one->header.id; });
  return list;
}

Result<std::optional<Json>> Methods::list_updates(const luo::Caller& caller, const Json&,
                                                  Waiting&) {
  std::vector<std::pair<uint64_t, Json>> all;  // by the time of their start
  for (const abi::UpdateSlot* update : updates_of(caller)) {
    if (all.size() == kMostUpdates) break;
    all.emplace_back(update->started_ns, update_summary(*update));
  }
  if (sees_self_updates(caller)) {
    const SelfUpdateTimeline self(*parts_.self_update);
    for (const uint64_t number : self.numbers()) {
      all.emplace_back(self.started_ns(number), self.summary(number));
    }
  }
  std::ranges::stable_sort(all, std::greater(), [](const auto& one) { return one.first; });
  Json list = Json::array();
  for (auto& [started_ns, summary] : all) {
    if (list.size() == kMostUpdates) break;
    list.push_back(std::move(summary));
  }
  return std::optional(Json{{"updates", std::move(list)}});
}

Result<std::optional<Json>> Methods::timeline(const luo::Caller& caller, const Json& parameters,
                                              Waiting&) {
  const auto wanted = TRY(wire::param<std::optional<std::string>>(parameters, "update"));
  const SelfUpdateTimeline self(*parts_.self_update);
  if (wanted && sees_self_updates(caller)) {
    if (const auto number = self.find(*wanted)) return std::optional(self.timeline(*number));
  }
  uint64_t id = 0;
  if (wanted) id = TRY(wire::hex_param(parameters, "update"));
  const std::vector<const abi::UpdateSlot*> updates = updates_of(caller);
  const auto found = std::ranges::find_if(
      updates, [&](const auto* one) { return !wanted || one->header.id == id; });
  const abi::UpdateSlot* update = found == updates.end() ? nullptr : *found;
  if (!wanted && sees_self_updates(caller)) {
    if (const auto newer = newest_self_update(self, update)) {
      return std::optional(self.timeline(*newer));
    }
  }
  if (update == nullptr) {
    return wanted ? fail(ENOENT, "no update {}", *wanted) : fail(ENOENT, "there was no update yet");
  }
  return std::optional(update_timeline(*update));
}

// The newest one, if it is newer than `update` (nullptr: there is none). One that was part of an
// update of the host is in the timelines of that.
std::optional<uint64_t> Methods::newest_self_update(const SelfUpdateTimeline& self,
                                                    const abi::UpdateSlot* update) {
  const auto of_host = [&](uint64_t number) {
    bool found = false;
    parts_.records().for_each<abi::UpdateSlot>([&](abi::UpdateSlot& one) {
      found = found || (one.scope == static_cast<uint64_t>(luo::Scope::kHost) &&
                        self.asked_by(number, one.request_id));
    });
    return found;
  };
  for (const uint64_t number : self.numbers()) {
    if (update != nullptr && self.started_ns(number) <= update->started_ns) break;
    if (!of_host(number)) return number;
  }
  return std::nullopt;
}

Json Methods::update_timeline(const abi::UpdateSlot& update) {
  const luo::Timeline timeline = parts_.core.updates().timeline(update);
  const auto entries = timeline.entries();
  uint64_t start = entries.empty() ? 0 : entries.front().start_ns;
  for (const auto& entry : entries) start = std::min(start, entry.start_ns);
  Json list = Json::array();
  Json blackout_start;
  Json blackout_end;
  for (const auto& entry : entries) {
    const uint64_t from = (entry.start_ns - start) / 1000;
    const Json to = entry.end_ns == 0 ? Json() : Json((entry.end_ns - start) / 1000);
    if (entry.what == "blackout") {
      blackout_start = from;
      blackout_end = to;
    }
    list.push_back(
        Json{{"who", entry.who}, {"what", entry.what}, {"start_us", from}, {"end_us", to}});
  }
  Json reply = update_summary(update);
  reply["blackout_start_us"] = blackout_start;
  reply["blackout_end_us"] = blackout_end;
  reply["lost"] = timeline.lost();
  reply["entries"] = std::move(list);
  for (const char* extra : {"step", "from_generation", "to_generation"}) reply.erase(extra);
  return reply;
}

}  // namespace outlive::daemon
