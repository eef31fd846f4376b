// outlive version: of this command, and of the outlived that answers, if one does.
#include "cli/exit_codes.h"
#include "cli/fields.h"
#include "cli/format.h"
#include "cli/verbs.h"

namespace outlive::cli {
namespace {

Result<int> run_version(Cli& cli) {
  std::optional<std::string> running;
  // Not running is an answer here, no error.
  Result<Json> reply = cli.call_qualified("org.varlink.service.GetInfo", Json::object());
  if (reply) {
    Fields f(*reply);
    running = f.text("version");
    TRY(f.check());
  } else if (exit_code(reply.error(), "") != kExitNotRunning) {
    return reply.take_error();
  }
  if (cli.json) {
    return cli.print_json(
        {{"outlive", OUTLIVE_VERSION}, {"outlived", running ? Json(*running) : Json()}});
  }
  cli.print(fmt::format("outlive {}\noutlived {}\n", OUTLIVE_VERSION,
                        running ? clean(*running) : "is not running"));
  return kExitOk;
}

}  // namespace

void add_version(CLI::App& app, Cli& cli) {
  CLI::App* verb = app.add_subcommand("version", "Show the versions of outlive and outlived");
  add_json_option(*verb, cli);
  verb->footer("\nExample:\n  outlive version");
  verb->callback([&cli] { cli.verb = [&cli] { return run_version(cli); }; });
}

}  // namespace outlive::cli
