// outlive reload: outlived reads its configuration again. A bad one is refused (exit 1), with line
// and key, and the one before goes on.
#include "cli/exit_codes.h"
#include "cli/fields.h"
#include "cli/format.h"
#include "cli/verbs.h"

namespace outlive::cli {
namespace {

Result<int> run_reload(Cli& cli) {
  const std::string id = TRY(new_request_id());
  const Json parameters = {{"request_id", id}};
  const Json reply = TRY(cli.call("Reload", parameters));
  Fields f(reply);
  const std::vector<std::string> applied = f.texts("applied");
  std::string text;
  for (const std::string& line : applied) text += clean(line) + "\n";
  for (const std::string& line : f.texts("pending")) {
    text += fmt::format("not applied: {}\n", clean(line));
  }
  text += fmt::format("reloaded {}: {} applied\n", clean(f.text("path")),
                      count_text(static_cast<int64_t>(applied.size()), "change"));
  TRY(f.check());
  if (cli.json) return cli.print_json(reply);
  cli.print(text);
  return kExitOk;
}

}  // namespace

void add_reload(CLI::App& app, Cli& cli) {
  CLI::App* verb = app.add_subcommand("reload", "Read the configuration again");
  add_json_option(*verb, cli);
  verb->footer(R"(
The file is checked whole first: one that is refused changes nothing, and the line says where it is
wrong; so is one with a key changed that only a start of outlived reads. What a service takes up with
its next update is listed as not applied. SIGHUP does the same; its result is in the log.

Examples:
  outlive reload
  outlive reload --json | jq .pending)");
  verb->callback([&cli] { cli.verb = [&cli] { return run_reload(cli); }; });
}

}  // namespace outlive::cli
