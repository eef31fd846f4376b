// outlive rollback NAME: an update to the version before, from the executable that was kept open.
#include <memory>

#include "cli/verbs.h"
#include "cli/watch_update.h"

namespace outlive::cli {

void add_rollback(CLI::App& app, Cli& cli) {
  CLI::App* verb = app.add_subcommand("rollback", "Go back to a service's version before");
  auto name = std::make_shared<std::string>();
  verb->add_option("name", *name, "Name of the service")->required();
  verb->add_flag("--progress", cli.progress, "A line a step, also when this is no terminal");
  add_json_option(*verb, cli);
  verb->footer(R"(
An update like any other, with the program that ran before: also if its file has been replaced. It is
refused when that version can't read the state of the one that runs now.

Exit codes as of update.

Example:
  outlive rollback web)");
  verb->callback([&cli, name] {
    cli.verb = [&cli, name] { return watch_update(cli, "Rollback", *name, Json::object()); };
  });
}

}  // namespace outlive::cli
