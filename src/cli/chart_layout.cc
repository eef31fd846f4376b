#include "cli/chart_layout.h"

#include <algorithm>
#include <cmath>

#include "cli/format.h"

namespace outlive::cli {
namespace {

constexpr double kLeastBar = 2.5;  // a bar that is shorter is still seen
constexpr double kLabelGap = 5;

struct Scale {
  int64_t from_us, to_us;
  double x(int64_t us) const {
    const double part = static_cast<double>(us - from_us) / static_cast<double>(to_us - from_us);
    return kChartLeft + std::clamp(part, 0.0, 1.0) * (kChartRight - kChartLeft);
  }
};

// 1, 2 or 5 times a power of ten, so that there are at most ten steps.
int64_t tick_step(int64_t span_us) {
  int64_t step = 1;
  for (;;) {
    for (const int64_t factor : {1, 2, 5}) {
      if (span_us / (step * factor) <= 9) return step * factor;
    }
    step *= 10;
  }
}

std::vector<ChartTick> ticks_of(const Scale& scale) {
  const int64_t step = tick_step(scale.to_us - scale.from_us);
  std::vector<ChartTick> ticks;
  for (int64_t us = (scale.from_us + step - 1) / step * step; us <= scale.to_us; us += step) {
    ticks.push_back({scale.x(us), grouped(us)});
  }
  return ticks;
}

double text_width(const std::string& text) {
  return static_cast<double>(text.size()) * kGlyph;
}

// The bar with its label: inside when it fits, else to its right, else to its left.
ChartBar place(const TimelineBar& bar, size_t source, const Scale& scale) {
  ChartBar placed = {};
  placed.source = source;
  placed.x = std::min(scale.x(bar.start_us), kChartRight - kLeastBar);
  placed.width = std::max(kLeastBar, scale.x(bar.last_us()) - placed.x);
  placed.label = clean(bar.what);
  const double width = text_width(placed.label);
  placed.label_inside = width + 2 * kLabelGap <= placed.width;
  if (placed.label_inside) {
    placed.label_x = placed.x + kLabelGap;
  } else if (placed.x + placed.width + kLabelGap + width <= kChartRight) {
    placed.label_x = placed.x + placed.width + kLabelGap;
  } else {
    placed.label_x = placed.x - kLabelGap - width;
  }
  return placed;
}

// Where bar and label begin and end.
double left_of(const ChartBar& bar) {
  return std::min(bar.x, bar.label_x);
}
double right_of(const ChartBar& bar) {
  return std::max(bar.x + bar.width, bar.label_x + text_width(bar.label));
}

ChartRow& row_of(std::vector<ChartRow>& rows, const std::string& who) {
  const auto found =
      std::find_if(rows.begin(), rows.end(), [&](const ChartRow& row) { return row.who == who; });
  if (found != rows.end()) return *found;
  rows.push_back({who, 0, 0, {}});
  return rows.back();
}

// Gives each bar the first lane in which nothing is in its way, and the row its height.
void stack(ChartRow& row, double y) {
  std::vector<std::vector<const ChartBar*>> lanes;
  row.y = y;
  for (ChartBar& bar : row.bars) {
    const auto is_free = [&](const std::vector<const ChartBar*>& lane) {
      return std::all_of(lane.begin(), lane.end(), [&](const ChartBar* other) {
        return right_of(*other) + kLabelGap <= left_of(bar) ||
               right_of(bar) + kLabelGap <= left_of(*other);
      });
    };
    auto lane = std::find_if(lanes.begin(), lanes.end(), is_free);
    if (lane == lanes.end()) lane = lanes.emplace(lanes.end());
    bar.y = y + static_cast<double>(lane - lanes.begin()) * kLaneHeight;
    lane->push_back(&bar);
  }
  row.height = static_cast<double>(lanes.size()) * kLaneHeight;
}

}  // namespace

ChartLayout chart_layout(const TimelineData& timeline, int64_t from_us, int64_t to_us) {
  const Scale scale{from_us, to_us};
  ChartLayout layout;
  layout.ticks = ticks_of(scale);
  for (size_t i = 0; i < timeline.bars.size(); ++i) {
    const TimelineBar& bar = timeline.bars[i];
    if (bar.last_us() < from_us || bar.start_us > to_us) continue;
    row_of(layout.rows, bar.who).bars.push_back(place(bar, i, scale));
  }
  double y = kChartTop + kRowGap;
  for (ChartRow& row : layout.rows) {
    stack(row, y);
    y += row.height + kRowGap;
  }
  layout.height = y;
  if (timeline.blackout_start_us) {
    const int64_t end = timeline.blackout_end_us.value_or(timeline.end_us());
    layout.blackout_x = std::min(scale.x(*timeline.blackout_start_us), kChartRight - kLeastBar);
    layout.blackout_width = std::max(kLeastBar, scale.x(end) - layout.blackout_x);
  }
  return layout;
}

}  // namespace outlive::cli
