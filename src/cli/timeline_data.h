// One update's timeline as values, from the reply of Timeline; and where its bars go in a chart.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "wire/varlink.h"

namespace outlive::cli {

struct TimelineBar {
  std::string who;  // "old", "successor", "outlived", a handler's compatible string
  std::string what;
  int64_t start_us = 0;
  std::optional<int64_t> end_us;  // none: a point, or not over yet
  int64_t last_us() const { return end_us.value_or(start_us); }
};

struct TimelineData {
  std::string update, service, state, result, reason, started;
  std::optional<int64_t> blackout_us, blackout_start_us, blackout_end_us;
  int64_t lost = 0;  // entries that found no room
  std::vector<TimelineBar> bars;

  // The last moment that anything in it names; at least 1.
  int64_t end_us() const;
  // "updated web, blackout 412 us" - one line that sums it up.
  std::string summary() const;
};

// EPROTO for a reply that isn't one; times that run backwards too.
Result<TimelineData> timeline_data(const wire::Json& reply);

// The chart on a terminal: a line for each bar, `width` columns for the bars.
std::string timeline_text(const TimelineData& timeline, int width);
// The chart as one self-contained HTML file with inline SVG, without scripts.
std::string timeline_html(const TimelineData& timeline);

}  // namespace outlive::cli
