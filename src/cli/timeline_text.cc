// The chart on a terminal:
//
//   update 5f2a: updated web, blackout 412 us (started 2026-11-21T12:00:00Z)
//                               0 us                     12,300 us
//   blackout                    |                 ##       |      412 us
//   outlived     start          |========                  |    5,120 us  at 0
#include <algorithm>

#include "cli/format.h"
#include "cli/timeline_data.h"

namespace outlive::cli {
namespace {

// `count` columns from `start` on, never none, never outside.
std::string bar_columns(int64_t start_us, int64_t end_us, int64_t total_us, int width, char mark) {
  const auto column = [&](int64_t us) {
    return static_cast<int>(static_cast<double>(us) / static_cast<double>(total_us) * width);
  };
  const int first = std::min(column(start_us), width - 1);
  const int last = std::clamp(column(end_us), first + 1, width);
  std::string columns(static_cast<size_t>(width), ' ');
  std::fill(columns.begin() + first, columns.begin() + last, mark);
  return columns;
}

size_t widest(const TimelineData& timeline, std::string TimelineBar::*field, size_t least) {
  for (const TimelineBar& bar : timeline.bars) least = std::max(least, clean(bar.*field).size());
  return least;
}

}  // namespace

std::string timeline_text(const TimelineData& timeline, int width) {
  const int64_t end = timeline.end_us();
  const size_t who = widest(timeline, &TimelineBar::who, 8);
  const size_t what = widest(timeline, &TimelineBar::what, 4);
  std::string text = fmt::format("update {}: {} (started {})\n", clean(timeline.update),
                                 timeline.summary(), clean(timeline.started));
  const std::string scale = grouped(end) + " us";
  text += fmt::format("{:<{}}  {:<{}}  {:<{}}{}\n", "", who, "", what, "0 us",
                      std::max(5, width + 2 - static_cast<int>(scale.size())), scale);
  const auto line = [&](const std::string& by, const std::string& step, const std::string& bar,
                        const std::string& times) {
    text += fmt::format("{:<{}}  {:<{}}  |{}|  {}\n", by, who, step, what, bar, times);
  };
  if (timeline.blackout_start_us) {
    const int64_t start = *timeline.blackout_start_us;
    const int64_t stop = timeline.blackout_end_us.value_or(end);
    line("blackout", "", bar_columns(start, stop, end, width, '#'),
         fmt::format("{:>10} us at {}", grouped(stop - start), grouped(start)));
  }
  for (const TimelineBar& bar : timeline.bars) {
    const std::string length = bar.end_us
                                   ? fmt::format("{:>10} us", grouped(*bar.end_us - bar.start_us))
                                   : fmt::format("{:>10}   ", "-");
    line(clean(bar.who), clean(bar.what),
         bar_columns(bar.start_us, bar.last_us(), end, width, bar.end_us ? '=' : '.'),
         fmt::format("{} at {}", length, grouped(bar.start_us)));
  }
  if (timeline.lost > 0) text += fmt::format("(entries that found no room: {})\n", timeline.lost);
  return text;
}

}  // namespace outlive::cli
