// The charts: nothing covers anything, bars stand where their times say, the file is well-formed
// XML.
#include <gtest/gtest.h>

#include "cli/chart_layout.h"
#include "cli/exit_codes.h"
#include "cli/fake_outlived.h"

namespace outlive::cli {
namespace {

const Json kTimeline = Json::parse(R"({"update":"5f2a","service":"web","state":"normal",
  "result":"updated","reason":null,"started":"2026-11-21T12:00:00Z","blackout_us":412,
  "blackout_start_us":90200,"blackout_end_us":90612,"lost":0,"entries":[
  {"who":"outlived","what":"plan","start_us":0,"end_us":120},
  {"who":"successor","what":"start","start_us":150,"end_us":90000},
  {"who":"old","what":"prepare","start_us":90010,"end_us":90150},
  {"who":"old","what":"freeze","start_us":90200,"end_us":90350},
  {"who":"memfd-v1","what":"freeze","start_us":90352,"end_us":90360},
  {"who":"socket-v1","what":"freeze","start_us":90360,"end_us":90372},
  {"who":"outlived","what":"offer","start_us":90372,"end_us":90374},
  {"who":"successor","what":"adopt","start_us":90380,"end_us":90600},
  {"who":"outlived","what":"commit","start_us":90611,"end_us":90612},
  {"who":"successor","what":"committed","start_us":90612,"end_us":null},
  {"who":"old","what":"retire","start_us":90700,"end_us":93000}]})");

TimelineData data() {
  return *timeline_data(kTimeline);
}

double right_edge(const ChartBar& bar) {
  return std::max(bar.x + bar.width, bar.label_x + static_cast<double>(bar.label.size()) * kGlyph);
}

void expect_sound(const ChartLayout& layout) {
  double below = kChartTop;
  for (const ChartRow& row : layout.rows) {
    EXPECT_GE(row.y, below) << row.who;
    below = row.y + row.height;
    for (const ChartBar& bar : row.bars) {
      EXPECT_GE(bar.x, kChartLeft);
      EXPECT_LE(bar.x + bar.width, kChartRight + 0.01);
      EXPECT_GT(bar.width, 0);
      EXPECT_GE(bar.y, row.y);
      EXPECT_LE(bar.y + kLaneHeight, row.y + row.height + 0.01);
      for (const ChartBar& other : row.bars) {
        if (&other == &bar || other.y != bar.y) continue;
        EXPECT_TRUE(right_edge(other) <= std::min(bar.x, bar.label_x) ||
                    right_edge(bar) <= std::min(other.x, other.label_x))
            << row.who << ": " << bar.label << " and " << other.label;
      }
    }
  }
  EXPECT_LE(below, layout.height);
  double tick_end = 0;
  for (const ChartTick& tick : layout.ticks) {
    const double half = static_cast<double>(tick.label.size()) * kGlyph / 2;
    EXPECT_GE(tick.x - half, tick_end) << tick.label;
    tick_end = tick.x + half;
  }
}

TEST(ChartLayout, ARowForEachParticipantAndHandler) {
  const ChartLayout layout = chart_layout(data(), 0, 93000);
  std::vector<std::string> names;
  for (const ChartRow& row : layout.rows) names.push_back(row.who);
  EXPECT_EQ(names,
            (std::vector<std::string>{"outlived", "successor", "old", "memfd-v1", "socket-v1"}));
  expect_sound(layout);
  EXPECT_GT(layout.blackout_width, 0);
}

TEST(ChartLayout, BarsStandWhereTheirTimesSay) {
  const ChartLayout layout = chart_layout(data(), 90000, 91000);
  expect_sound(layout);
  const double unit = (kChartRight - kChartLeft) / 1000;
  EXPECT_NEAR(layout.blackout_x, kChartLeft + 200 * unit, 0.1);
  EXPECT_NEAR(layout.blackout_width, 412 * unit, 0.1);
  const ChartRow& successor = layout.rows[0];
  ASSERT_EQ(successor.who, "successor");
  EXPECT_NEAR(successor.bars[1].x, kChartLeft + 380 * unit, 0.1);
  EXPECT_NEAR(successor.bars[1].width, 220 * unit, 0.1);
  EXPECT_TRUE(successor.bars[1].label_inside);
  // Ticks are round numbers, in steps of the same size.
  EXPECT_EQ(layout.ticks.front().label, "90,000");
  EXPECT_GE(layout.ticks.size(), 3u);
}

TEST(ChartLayout, ManyBarsAtOneMomentGetLanesOfTheirOwn) {
  TimelineData crowd = data();
  for (int i = 0; i < 50; ++i) crowd.bars.push_back({"old", "a long step name", 93000, 93000});
  expect_sound(chart_layout(crowd, 0, 93000));
  expect_sound(chart_layout(crowd, 92999, 93000));
  expect_sound(chart_layout(crowd, 0, 1));
  expect_sound(chart_layout(TimelineData(), 0, 1));
}

// Enough of XML to see a tag that isn't closed, a bare '&' or '<', a quote that is missing.
std::string xml_problem(std::string_view text) {
  std::vector<std::string> open;
  while (!text.empty()) {
    const size_t at = text.find_first_of("<&");
    if (at == text.npos) break;
    text.remove_prefix(at);
    if (text[0] == '&') {
      const std::string_view entity = text.substr(0, text.find(';') + 1);
      if (entity != "&amp;" && entity != "&lt;" && entity != "&gt;" && entity != "&quot;") {
        return "bare &";
      }
      text.remove_prefix(entity.size());
      continue;
    }
    size_t end = 0;
    bool quoted = false;
    for (end = 1; end < text.size() && (quoted || text[end] != '>'); ++end) {
      if (text[end] == '"') quoted = !quoted;
      if (text[end] == '<') return "'<' inside a tag";
    }
    if (end == text.size()) return "a tag without end";
    const std::string_view tag = text.substr(1, end - 1);
    text.remove_prefix(end + 1);
    if (tag.starts_with('!')) continue;
    const std::string name(tag.substr(tag.starts_with('/') ? 1 : 0, tag.find_first_of(" /", 1)));
    if (tag.starts_with('/')) {
      if (open.empty() || "/" + open.back() != tag) return fmt::format("<{}> closes nothing", tag);
      open.pop_back();
    } else if (!tag.ends_with('/')) {
      open.push_back(name);
    }
  }
  return open.empty() ? "" : "<" + open.back() + "> is left open";
}

TEST(ChartHtml, TheCheckerSeesMistakes) {
  EXPECT_EQ(xml_problem("<a b=\"1>2\"><c/>&amp;</a>"), "");
  for (const char* bad : {"<a>", "</a>", "<a></b>", "a & b", "<a b=\"1></a>", "<a <b></a>"}) {
    EXPECT_NE(xml_problem(bad), "") << bad;
  }
}

TEST(ChartHtml, IsWellFormedAndSelfContained) {
  const std::string html = timeline_html(data());
  EXPECT_EQ(xml_problem(html), "");
  EXPECT_EQ(html.find("<script"), std::string::npos);
  EXPECT_EQ(html.find("href"), std::string::npos);
  EXPECT_EQ(html.find("src="), std::string::npos);
  EXPECT_NE(html.find("class=\"blackout\""), std::string::npos);
  EXPECT_NE(html.find("blackout 412 us"), std::string::npos);
  EXPECT_NE(html.find("prefers-color-scheme: dark"), std::string::npos);
  const TimelineData shown = data();
  for (const TimelineBar& bar : shown.bars) {
    EXPECT_NE(html.find(bar.who + ": " + bar.what), std::string::npos);
  }
}

TEST(ChartHtml, NamesAreNoMarkup) {
  TimelineData hostile = data();
  hostile.service = "<script>alert(\"1\")</script>&\x01";
  hostile.reason = "a<b";
  hostile.bars[0].who = "</svg><x a=\"";
  hostile.bars[0].what = "\"&'<>";
  const std::string html = timeline_html(hostile);
  EXPECT_EQ(xml_problem(html), "");
  EXPECT_EQ(html.find("<script"), std::string::npos);
}

TEST(ChartHtml, WithoutBlackoutOrEntries) {
  TimelineData cancelled = data();
  cancelled.blackout_us = cancelled.blackout_start_us = cancelled.blackout_end_us = std::nullopt;
  std::string html = timeline_html(cancelled);
  EXPECT_EQ(xml_problem(html), "");
  EXPECT_EQ(html.find("class=\"blackout\""), std::string::npos);
  cancelled.bars.clear();
  EXPECT_EQ(xml_problem(timeline_html(cancelled)), "");
}

TEST(TimelineData, TimesThatCantBe) {
  for (const auto& [start, end] : {std::pair<int64_t, int64_t>{5, 4}, {-1, 4}, {0, INT64_MAX}}) {
    Json reply = kTimeline;
    reply["entries"][0]["start_us"] = start;
    reply["entries"][0]["end_us"] = end;
    EXPECT_FALSE(timeline_data(reply)) << start << " " << end;
    reply = kTimeline;
    reply["blackout_start_us"] = start;
    reply["blackout_end_us"] = end;
    EXPECT_FALSE(timeline_data(reply)) << start << " " << end;
  }
}

TEST_F(CliTest, TimelineOnTheTerminal) {
  fake_.reply("Timeline", kTimeline);
  const Ran ran = run({"timeline", "5f2a"});
  EXPECT_EQ(ran.code, kExitOk) << ran.err;
  EXPECT_EQ(only_call("Timeline"), Json({{"update", "5f2a"}}));
  EXPECT_TRUE(ran.out.starts_with(
      "update 5f2a: updated web, blackout 412 us (started 2026-11-21T12:00:00Z)\n"));
  EXPECT_NE(ran.out.find("blackout"), std::string::npos);
  EXPECT_NE(ran.out.find("89,850 us at 150"), std::string::npos) << ran.out;
  // Every line with a bar has its two edges in the same columns.
  size_t edge = std::string::npos;
  size_t bars = 0;
  std::istringstream lines(ran.out);
  for (std::string line; std::getline(lines, line);) {
    if (line.find('|') == line.npos) continue;
    ++bars;
    if (edge == std::string::npos) edge = line.find('|');
    EXPECT_EQ(line.find('|'), edge) << line;
    EXPECT_EQ(line.rfind('|'), edge + 41) << line;
  }
  EXPECT_EQ(bars, kTimeline["entries"].size() + 1);
  EXPECT_EQ(Json::parse(run({"timeline", "--json"}).out), kTimeline);
}

TEST_F(CliTest, TimelineIntoAFile) {
  fake_.reply("Timeline", kTimeline);
  const std::string file = fake_.dir() + "/chart.html";
  const Ran ran = run({"timeline", "--html", file});
  EXPECT_EQ(ran.code, kExitOk) << ran.err;
  EXPECT_EQ(ran.out, "wrote " + file + ": updated web, blackout 412 us\n");
  EXPECT_EQ(*sys::read_file(file), timeline_html(data()));
  EXPECT_EQ(run({"timeline", "--html", "/nonexistent/chart.html"}).code, kExitFailed);
}

}  // namespace
}  // namespace outlive::cli
