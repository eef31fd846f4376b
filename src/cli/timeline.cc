// outlive timeline [ID] [--html FILE]: what happened in an update, and how long the world stood
// still.
#include <memory>

#include "base/sys.h"
#include "cli/exit_codes.h"
#include "cli/format.h"
#include "cli/timeline_data.h"
#include "cli/verbs.h"

namespace outlive::cli {
namespace {

constexpr int kBarColumns = 40;

struct TimelineOptions {
  std::string update;
  std::string html;
};

Result<int> run_timeline(Cli& cli, const TimelineOptions& options) {
  Json parameters = Json::object();
  if (!options.update.empty()) parameters["update"] = options.update;
  const Json reply = TRY(cli.call("Timeline", parameters));
  const TimelineData timeline = TRY(timeline_data(reply));
  if (!options.html.empty()) {
    TRY(sys::write_file(options.html, timeline_html(timeline), 0644));
    if (!cli.json) cli.print(fmt::format("wrote {}: {}\n", options.html, timeline.summary()));
  }
  if (cli.json) return cli.print_json(reply);
  if (options.html.empty()) cli.print(timeline_text(timeline, kBarColumns));
  return kExitOk;
}

}  // namespace

void add_timeline(CLI::App& app, Cli& cli) {
  CLI::App* verb = app.add_subcommand("timeline", "Show what happened in an update, as a chart");
  auto options = std::make_shared<TimelineOptions>();
  verb->add_option("update", options->update,
                   "Its id, as `list updates` shows it; none: the newest");
  verb->add_option("--html", options->html, "Write the chart into this file, for a browser")
      ->type_name("FILE");
  add_json_option(*verb, cli);
  verb->footer(R"(
The blackout is the time in which nobody serves: from the last request that the old version serves to
the first one that the new version can. Times are microseconds since the start of the update.

Examples:
  outlive timeline
  outlive list updates
  outlive timeline 5f2a --html update.html)");
  verb->callback(
      [&cli, options] { cli.verb = [&cli, options] { return run_timeline(cli, *options); }; });
}

}  // namespace outlive::cli
