// outlive metrics: what a Prometheus would scrape, without the listener.
#include "cli/fields.h"
#include "cli/verbs.h"

namespace outlive::cli {
namespace {

Result<int> run_metrics(Cli& cli) {
  const Json reply = TRY(cli.call("Metrics"));
  Fields f(reply);
  const std::string text = f.text("text");
  TRY(f.check());
  if (cli.json) return cli.print_json(reply);
  cli.print(text);
  return 0;
}

}  // namespace

void add_metrics(CLI::App& app, Cli& cli) {
  CLI::App* verb = app.add_subcommand("metrics", "Show the metrics");
  add_json_option(*verb, cli);
  verb->footer(R"(
Prometheus's text format. [metrics] listen of outlive.toml(5) serves the same over HTTP.

Examples:
  outlive metrics
  outlive metrics | grep outlive_worker_deaths_total)");
  verb->callback([&cli] { cli.verb = [&cli] { return run_metrics(cli); }; });
}

}  // namespace outlive::cli
