// The geometry of the HTML chart, apart from how it is drawn, so that tests can check it: rows (one
// a participant or handler), lanes inside a row so that nothing covers anything else, and a ruler.
// Units are those of the SVG's viewBox.
#pragma once

#include <string>
#include <vector>

#include "cli/timeline_data.h"

namespace outlive::cli {

inline constexpr double kChartWidth = 1200;
inline constexpr double kChartLeft = 190;    // where the plot begins; names stand left of it
inline constexpr double kChartRight = 1180;  // where it ends
inline constexpr double kLaneHeight = 24;
inline constexpr double kRowGap = 10;
inline constexpr double kChartTop = 34;  // the ruler's numbers stand above
inline constexpr double kGlyph = 6.7;    // widest a character of a label may be

struct ChartBar {
  double x, y, width;
  double label_x;     // where its label starts
  bool label_inside;  // in the bar, else beside it
  std::string label;  // shortened to fit the plot
  size_t source;      // index in TimelineData::bars
};

struct ChartRow {
  std::string who;
  double y, height;
  std::vector<ChartBar> bars;
};

struct ChartTick {
  double x;
  std::string label;
};

struct ChartLayout {
  double height = 0;
  std::vector<ChartRow> rows;
  std::vector<ChartTick> ticks;
  // The blackout, clipped to the plot; width 0: none.
  double blackout_x = 0, blackout_width = 0;
};

// What of the timeline lies between two moments (from_us < to_us).
ChartLayout chart_layout(const TimelineData& timeline, int64_t from_us, int64_t to_us);

}  // namespace outlive::cli
