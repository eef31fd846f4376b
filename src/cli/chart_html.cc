// The chart as one HTML file: the whole update, and the time around the blackout magnified (it is a
// thousandth of an update); a row for each participant and handler, the blackout shaded; below a
// table with all of it. No scripts, nothing loaded, light and dark. It is XML too, so that tests
// can check that it is well-formed.
#include <algorithm>
#include <string_view>

#include "cli/chart_layout.h"
#include "cli/format.h"
#include "cli/timeline_data.h"

namespace outlive::cli {
namespace {

constexpr char kStyle[] = R"(
:root { color-scheme: light dark; --ink: #1d2430; --soft: #5b6575; --line: #d9dee6; --page: #fff;
  --shade: #f4c7c3; --edge: #c0392b; --on-bar: #fff;
  --c0: #4a5568; --c1: #b4541a; --c2: #1f7a4d; --c3: #2b62b8; --c4: #7a3fa8; --c5: #8a6d00; }
@media (prefers-color-scheme: dark) { :root { --ink: #e7eaf0; --soft: #9aa5b5; --line: #343c49;
  --page: #14181f; --shade: #5a2a28; --edge: #ff7b6b; --on-bar: #10141a;
  --c0: #aab4c4; --c1: #f0a26b; --c2: #6fd3a0; --c3: #8ab8ff; --c4: #cfa3f5; --c5: #e2c65a; } }
body { margin: 2rem auto; max-width: 1240px; padding: 0 1rem; background: var(--page);
  color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.4rem; margin: 0 0 .2rem; } h2 { font-size: 1rem; margin: 1.8rem 0 .3rem; }
p { margin: .2rem 0; color: var(--soft); }
svg { width: 100%; height: auto; display: block; font: 11px ui-monospace, monospace; }
svg text { fill: var(--ink); } svg .tick { fill: var(--soft); text-anchor: middle; }
svg .who { text-anchor: end; font-size: 12px; } svg .in { fill: var(--on-bar); }
.rule { stroke: var(--line); } .blackout { fill: var(--shade); }
.c0 { fill: var(--c0); } .c1 { fill: var(--c1); } .c2 { fill: var(--c2); } .c3 { fill: var(--c3); }
.c4 { fill: var(--c4); } .c5 { fill: var(--c5); }
table { border-collapse: collapse; } td, th { padding: .15rem 1rem .15rem 0; text-align: left; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; } th { color: var(--soft); }
.key { display: inline-block; width: 1em; height: .8em; background: var(--shade);
  border: 1px solid var(--edge); }
)";

std::string escaped(std::string_view text) {
  std::string result;
  for (const char c : clean(text)) {
    switch (c) {
      case '&':
        result += "&amp;";
        break;
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      case '"':
        result += "&quot;";
        break;
      default:
        result += c;
    }
  }
  return result;
}

std::string bar_times(const TimelineBar& bar) {
  if (!bar.end_us) return fmt::format("at {} us", grouped(bar.start_us));
  return fmt::format("{} us, from {} to {} us", grouped(*bar.end_us - bar.start_us),
                     grouped(bar.start_us), grouped(*bar.end_us));
}

std::string bar_svg(const ChartBar& bar, const TimelineBar& source, size_t color) {
  std::string svg = fmt::format(
      "<g><title>{}: {} ({})</title><rect class=\"c{}\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" "
      "height=\"{:.0f}\" rx=\"2\"/>",
      escaped(source.who), escaped(source.what), bar_times(source), color % 6, bar.x, bar.y + 3,
      bar.width, kLaneHeight - 6);
  svg += fmt::format("<text{} x=\"{:.1f}\" y=\"{:.1f}\">{}</text></g>\n",
                     bar.label_inside ? " class=\"in\"" : "", bar.label_x,
                     bar.y + kLaneHeight / 2 + 4, escaped(bar.label));
  return svg;
}

// A participant has the same colour in both panels, also when it is missing in one.
size_t color_of(const TimelineData& timeline, const std::string& who) {
  std::vector<std::string> seen;
  for (const TimelineBar& bar : timeline.bars) {
    if (std::find(seen.begin(), seen.end(), bar.who) == seen.end()) seen.push_back(bar.who);
  }
  return static_cast<size_t>(std::find(seen.begin(), seen.end(), who) - seen.begin());
}

// A long name keeps both ends: "memfd" and "-v1" tell more than the middle.
std::string row_name(const std::string& who) {
  constexpr size_t kMost = 25;
  if (who.size() <= kMost) return who;
  return who.substr(0, kMost / 2) + ".." + who.substr(who.size() - kMost / 2 + 2);
}

std::string panel_svg(const TimelineData& timeline, int64_t from_us, int64_t to_us) {
  const ChartLayout layout = chart_layout(timeline, from_us, to_us);
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" viewBox=\"0 0 {:.0f} {:.0f}\">\n",
      kChartWidth, layout.height);
  if (layout.blackout_width > 0) {
    svg += fmt::format(
        "<rect class=\"blackout\" x=\"{:.1f}\" y=\"{:.0f}\" width=\"{:.1f}\" height=\"{:.0f}\">"
        "<title>blackout</title></rect>\n",
        layout.blackout_x, kChartTop, layout.blackout_width, layout.height - kChartTop);
  }
  svg += fmt::format("<text class=\"who\" x=\"{:.0f}\" y=\"18\">us</text>\n", kChartLeft - 14);
  for (const ChartTick& tick : layout.ticks) {
    svg += fmt::format(
        "<line class=\"rule\" x1=\"{0:.1f}\" x2=\"{0:.1f}\" y1=\"26\" y2=\"{1:.0f}\"/>"
        "<text class=\"tick\" x=\"{0:.1f}\" y=\"18\">{2}</text>\n",
        tick.x, layout.height, tick.label);
  }
  for (const ChartRow& row : layout.rows) {
    svg += fmt::format("<text class=\"who\" x=\"{:.0f}\" y=\"{:.1f}\">{}</text>\n", kChartLeft - 14,
                       row.y + kLaneHeight / 2 + 4, escaped(row_name(row.who)));
    for (const ChartBar& bar : row.bars) {
      svg += bar_svg(bar, timeline.bars[bar.source], color_of(timeline, row.who));
    }
  }
  return svg + "</svg>\n";
}

std::string table_html(const TimelineData& timeline) {
  std::string html =
      "<table><tr><th>who</th><th>what</th><th class=\"n\">start (us)</th>"
      "<th class=\"n\">took (us)</th></tr>\n";
  for (const TimelineBar& bar : timeline.bars) {
    html += fmt::format(
        "<tr><td>{}</td><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>\n",
        escaped(bar.who), escaped(bar.what), grouped(bar.start_us),
        bar.end_us ? grouped(*bar.end_us - bar.start_us) : "-");
  }
  return html + "</table>\n";
}

}  // namespace

std::string timeline_html(const TimelineData& timeline) {
  const int64_t end = timeline.end_us();
  std::string html = fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"/>"
      "<meta name=\"viewport\" content=\"width=device-width\"/>\n"
      "<title>update {0}: {1}</title>\n<style>{2}</style></head>\n<body>\n<h1>{1}</h1>\n"
      "<p>update {0}, started {3}, state {4}, {5} us in all</p>\n",
      escaped(timeline.update), escaped(timeline.summary()), kStyle, escaped(timeline.started),
      escaped(timeline.state), grouped(end));
  if (timeline.blackout_start_us) {
    const int64_t start = *timeline.blackout_start_us;
    const int64_t stop = timeline.blackout_end_us.value_or(end);
    const int64_t margin = std::max<int64_t>(1, (stop - start) / 3);
    html +=
        "<p><span class=\"key\"></span> blackout: nobody serves</p>\n<h2>Around the "
        "blackout</h2>\n";
    html += panel_svg(timeline, std::max<int64_t>(0, start - margin), stop + margin);
  }
  html += "<h2>The whole update</h2>\n" + panel_svg(timeline, 0, end);
  html += "<h2>Every step</h2>\n" + table_html(timeline);
  if (timeline.lost > 0)
    html += fmt::format("<p>Entries that found no room: {}</p>\n", timeline.lost);
  return html + "</body>\n</html>\n";
}

}  // namespace outlive::cli
