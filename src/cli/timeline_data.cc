#include "cli/timeline_data.h"

#include <algorithm>

#include "cli/fields.h"
#include "cli/format.h"

namespace outlive::cli {
namespace {

// Longest time that a chart shows: what is beyond has been made up.
constexpr int64_t kMostUs = int64_t{365} * 86400 * 1'000'000;

Status check_span(int64_t start_us, int64_t end_us) {
  if (start_us < 0 || end_us < start_us || end_us > kMostUs) {
    return fail(EPROTO, "outlived's timeline runs from {} to {} us: that can't be", start_us,
                end_us);
  }
  return {};
}

}  // namespace

Result<TimelineData> timeline_data(const wire::Json& reply) {
  Fields f(reply);
  TimelineData timeline;
  timeline.update = f.text("update");
  timeline.service = f.text("service");
  timeline.state = f.text("state");
  timeline.result = f.text("result");
  timeline.reason = f.maybe_text("reason").value_or("");
  timeline.started = f.text("started");
  timeline.blackout_us = f.maybe_number("blackout_us");
  timeline.blackout_start_us = f.maybe_number("blackout_start_us");
  timeline.blackout_end_us = f.maybe_number("blackout_end_us");
  timeline.lost = f.maybe_number("lost").value_or(0);
  for (const wire::Json& entry : f.array("entries")) {
    Fields e(entry);
    TimelineBar bar{e.text("who"), e.text("what"), e.number("start_us"), e.maybe_number("end_us")};
    TRY(e.check());
    TRY(check_span(bar.start_us, bar.last_us()));
    timeline.bars.push_back(std::move(bar));
  }
  TRY(f.check());
  if (timeline.blackout_start_us) {
    const int64_t start = *timeline.blackout_start_us;
    TRY(check_span(start, timeline.blackout_end_us.value_or(start)));
  }
  return timeline;
}

int64_t TimelineData::end_us() const {
  int64_t end = std::max({int64_t{1}, blackout_end_us.value_or(0), blackout_start_us.value_or(0)});
  for (const TimelineBar& bar : bars) end = std::max(end, bar.last_us());
  return end;
}

std::string TimelineData::summary() const {
  std::string text = fmt::format("{} {}", result, service);
  if (!reason.empty()) text += ": " + reason;
  if (blackout_us) text += fmt::format(", blackout {} us", grouped(*blackout_us));
  return clean(text);
}

}  // namespace outlive::cli
