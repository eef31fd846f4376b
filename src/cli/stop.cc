// outlive stop SERVICE | --daemon: ends a service, or outlived with all of them. Refused (exit 4)
// while sessions hold files that nobody else has, unless --force.
#include <memory>

#include "cli/exit_codes.h"
#include "cli/format.h"
#include "cli/verbs.h"

namespace outlive::cli {
namespace {

struct StopOptions {
  std::string service;
  bool daemon = false;
  bool force = false;
};

Result<int> run_stop(Cli& cli, const StopOptions& options) {
  if (options.daemon == !options.service.empty()) {
    return cli.usage("stop what? either SERVICE, or --daemon for outlived with all its services");
  }
  Json parameters = {{"daemon", options.daemon}, {"force", options.force}};
  parameters["request_id"] = TRY(new_request_id());
  if (!options.daemon) parameters["service"] = options.service;
  Result<Json> answer = cli.call("Stop", parameters);
  // Asked again, because outlived's worker was replaced: the first time has done it.
  if (!answer && answer.error().code == ENOENT && cli.repeated()) answer = Json::object();
  const Json reply = TRY(std::move(answer));
  if (cli.json) return cli.print_json(reply);
  cli.print(options.daemon ? "stopped outlived\n"
                           : fmt::format("stopped {}\n", clean(options.service)));
  return kExitOk;
}

}  // namespace

void add_stop(CLI::App& app, Cli& cli) {
  CLI::App* verb = app.add_subcommand("stop", "End a service, or outlived");
  auto options = std::make_shared<StopOptions>();
  verb->add_option("service", options->service, "Name of the service");
  verb->add_flag("--daemon", options->daemon, "End outlived, and all services in order");
  verb->add_flag("--force", options->force, "Also when sessions hold files that would be lost");
  add_json_option(*verb, cli);
  verb->footer(R"(
What a session preserves is gone when its service is stopped for good: exit code 4 says how many
files that would be, and --force does it.

Examples:
  outlive stop web
  outlive stop --daemon --force)");
  verb->callback(
      [&cli, options] { cli.verb = [&cli, options] { return run_stop(cli, *options); }; });
}

}  // namespace outlive::cli
