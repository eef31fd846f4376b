// outlive update NAME [-- COMMAND...]: replaces a service by its next version while its state lives
// on.
#include <memory>

#include "cli/exit_codes.h"
#include "cli/format.h"
#include "cli/launch_options.h"
#include "cli/update_outlived.h"
#include "cli/verbs.h"
#include "cli/watch_update.h"

namespace outlive::cli {
namespace {

struct UpdateOptions {
  std::string name;
  std::string ready_timeout;
  std::string freeze_timeout;
  std::string policy;
  std::string binary;
  bool force = false;
};

Result<int> run_update(Cli& cli, const UpdateOptions& options) {
  if (options.name == "outlived") {
    if (cli.command) return cli.usage("outlived's next version is a --binary, and no command");
    return update_outlived(cli, options.binary, options.force);
  }
  if (!options.binary.empty() || options.force) {
    return cli.usage("--binary and --force are for `outlive update outlived`");
  }
  Json parameters = Json::object();
  if (cli.command) {
    if (cli.command->empty()) return cli.usage("no command behind --");
    parameters["argv"] = TRY(launch_argv(*cli.command));
  }
  if (!options.ready_timeout.empty()) {
    const Result<int64_t> time = parse_duration_ms(options.ready_timeout);
    if (!time) return cli.usage("--ready-timeout: " + time.error().message);
    parameters["ready_timeout_ms"] = *time;
  }
  if (!options.freeze_timeout.empty()) {
    const Result<int64_t> time = parse_duration_ms(options.freeze_timeout);
    if (!time) return cli.usage("--freeze-timeout: " + time.error().message);
    parameters["freeze_timeout_ms"] = *time;
  }
  if (!options.policy.empty()) parameters["policy"] = options.policy;
  return watch_update(cli, "Update", options.name, std::move(parameters));
}

}  // namespace

void add_update(CLI::App& app, Cli& cli) {
  CLI::App* verb =
      app.add_subcommand("update", "Replace a service, or outlived, by its next version");
  auto options = std::make_shared<UpdateOptions>();
  verb->add_option("name", options->name, "Name of the service; outlived: itself")->required();
  verb->add_option("--ready-timeout", options->ready_timeout,
                   "How long the new one may take to get ready (as it was run)")
      ->type_name("TIME");
  verb->add_option("--freeze-timeout", options->freeze_timeout,
                   "How long the old one may take to freeze")
      ->type_name("TIME");
  verb->add_option("--policy", options->policy,
                   "When a file would be lost: fail (then nothing is done), skip or degrade")
      ->type_name("POLICY")
      ->check(CLI::IsMember({"fail", "skip", "degrade"}));
  verb->add_option("--binary", options->binary,
                   "Of outlived: the file to execute (the one at the path of what runs)")
      ->type_name("FILE");
  verb->add_flag("--force", options->force, "Of outlived: also a file that has failed too often");
  verb->add_flag("--progress", cli.progress, "A line a step, also when this is no terminal");
  add_json_option(*verb, cli);
  verb->footer(R"(
Without a command the same one is started again: a new binary at the same path is the next version.
With `-- COMMAND...` that is the next version, and what later updates start. Until the new one has
taken over, any failure (crash, veto, time-out) cancels the update and the old one serves on.

`outlive update outlived` replaces outlived itself: everything that it holds, its connections and
its services stay. The new binary is rehearsed first, and one that doesn't get ready, or crashes
soon after, is replaced by the old one.

Exit code 0: updated; 3: rolled back, with the reason; 4: refused, files would be lost, or the
rehearsal failed; 75: another update of it is going on. Ctrl-C leaves the update running.

Examples:
  outlive update web
  outlive update web -- ./web-v2 --port 7777
  outlive update web --ready-timeout 2m --progress
  outlive update outlived --binary ./outlived-v2)");
  verb->callback(
      [&cli, options] { cli.verb = [&cli, options] { return run_update(cli, *options); }; });
}

}  // namespace outlive::cli
