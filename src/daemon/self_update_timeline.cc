#include "daemon/self_update_timeline.h"

#include "daemon/methods.h"

namespace outlive::daemon {

using abi::TakeoverOutcome;
using abi::TakeoverResult;
using abi::TakeoverTimes;
using machine::Takeover;
using wire::Json;

namespace {

constexpr std::string_view kPrefix = "outlived-";

struct Bar {
  const char* who;
  const char* what;
  uint64_t start_ns;  // 0: it has not come to that
  uint64_t end_ns;    // 0: not over when the update was
};

std::vector<Bar> bars_of(const TakeoverTimes& times, bool rolled_back) {
  std::vector<Bar> bars = {{"outlived", "rehearsal", times.asked_ns, times.rehearsed_ns},
                           {"old", "stop", times.rehearsed_ns, times.stopped_ns},
                           {"outlived", "blackout", times.stopped_ns, times.serving_ns},
                           {"old", "leave", times.stopped_ns, times.executed_ns},
                           {"outlived", "exec", times.executed_ns, times.entered_ns},
                           {"successor", "attach", times.entered_ns, times.committed_ns},
                           {"successor", "ready", times.committed_ns, times.serving_ns},
                           {"outlived", "went back", times.back_ns, times.back_serving_ns}};
  if (rolled_back && times.back_ns == 0) {
    bars.push_back({"outlived", "rolled back", times.ended_ns, times.ended_ns});
  }
  return bars;
}

uint64_t us_between(uint64_t start_ns, uint64_t end_ns) {
  return end_ns > start_ns ? (end_ns - start_ns) / 1000 : 0;
}

const char* result_text(const TakeoverOutcome* outcome) {
  if (outcome == nullptr) return "running";
  switch (static_cast<TakeoverResult>(outcome->result)) {
    case TakeoverResult::kUpdated:
      return "updated";
    case TakeoverResult::kRefused:
      return "refused";
    default:
      return "rolled back";
  }
}

Json text_or_null(std::string text) {
  return text.empty() ? Json() : Json(std::move(text));
}

}  // namespace

const TakeoverOutcome* SelfUpdateTimeline::outcome(uint64_t number) const {
  const TakeoverOutcome& slot = takeover_.block().outcomes[number % abi::kTakeoverOutcomes];
  return machine::load_word(slot.number) == number ? &slot : nullptr;
}

bool SelfUpdateTimeline::runs(uint64_t number) const {
  return takeover_.busy() && takeover_.number() == number && !takeover_.goes_back() &&
         !takeover_.only_rehearses();
}

std::vector<uint64_t> SelfUpdateTimeline::numbers() const {
  std::vector<uint64_t> list;
  const uint64_t last = takeover_.number();
  for (uint64_t number = last; number != 0 && last - number < abi::kTakeoverOutcomes; --number) {
    if (takeover_.times_of(number) == nullptr) continue;
    const TakeoverOutcome* ended = outcome(number);
    const bool update = ended != nullptr
                            ? ended->result != static_cast<uint64_t>(TakeoverResult::kRehearsed)
                            : runs(number);
    if (update) list.push_back(number);
  }
  return list;
}

std::optional<uint64_t> SelfUpdateTimeline::find(std::string_view id) const {
  for (const uint64_t number : numbers()) {
    if (id == fmt::format("{}{}", kPrefix, number)) return number;
  }
  return std::nullopt;
}

uint64_t SelfUpdateTimeline::started_ns(uint64_t number) const {
  const TakeoverTimes* times = takeover_.times_of(number);
  return times != nullptr ? times->started_ns : 0;
}

bool SelfUpdateTimeline::asked_by(uint64_t number, const uint64_t (&id)[2]) const {
  const TakeoverOutcome* ended = outcome(number);
  return ended != nullptr ? ended->request_id[0] == id[0] && ended->request_id[1] == id[1]
                          : runs(number) && takeover_.is_current(id);
}

Json SelfUpdateTimeline::summary(uint64_t number) const {
  const TakeoverTimes& times = *takeover_.times_of(number);
  const TakeoverOutcome* ended = outcome(number);
  const bool updated = ended != nullptr && std::string_view(result_text(ended)) == "updated";
  const bool paused = times.stopped_ns != 0 && times.serving_ns != 0;
  const uint64_t pause_us = us_between(times.stopped_ns, times.serving_ns);
  const auto& block = takeover_.block();
  return Json{
      {"update", fmt::format("{}{}", kPrefix, number)},
      {"service", "outlived"},
      {"state", luo::name_of(luo::State::kNormal)},
      {"step", ended == nullptr ? self_.step()
               : updated        ? "done"
                                : "cancelled"},
      {"result", result_text(ended)},
      {"reason", ended != nullptr ? text_or_null(Takeover::text_of(ended->reason)) : Json()},
      {"started", time_text(times.started_ns)},
      {"blackout_us", paused ? Json(pause_us) : Json()},
      {"from_generation", 0},
      {"to_generation", 0},
      {"from_version",
       text_or_null(Takeover::text_of(ended != nullptr ? ended->from : block.from))},
      {"to_version", ended != nullptr ? text_or_null(Takeover::text_of(ended->to)) : Json()}};
}

Json SelfUpdateTimeline::timeline(uint64_t number) const {
  const TakeoverTimes& times = *takeover_.times_of(number);
  const bool over = outcome(number) != nullptr;
  Json reply = summary(number);
  Json entries = Json::array();
  Json blackout_start, blackout_end;
  for (const Bar& bar : bars_of(times, reply["result"] == "rolled back")) {
    if (bar.start_ns == 0) continue;
    const uint64_t end_ns = bar.end_ns == 0 && over ? times.ended_ns : bar.end_ns;
    const uint64_t start_us = us_between(times.asked_ns, bar.start_ns);
    const Json end_us =
        end_ns == 0 ? Json() : Json(std::max(start_us, us_between(times.asked_ns, end_ns)));
    if (std::string_view(bar.what) == "blackout") {
      blackout_start = start_us;
      blackout_end = end_us;
    }
    entries.push_back(
        Json{{"who", bar.who}, {"what", bar.what}, {"start_us", start_us}, {"end_us", end_us}});
  }
  reply["blackout_start_us"] = blackout_start;
  reply["blackout_end_us"] = blackout_end;
  reply["lost"] = 0;
  reply["entries"] = std::move(entries);
  for (const char* of_a_list :
       {"step", "from_generation", "to_generation", "from_version", "to_version"}) {
    reply.erase(of_a_list);
  }
  return reply;
}

}  // namespace outlive::daemon
