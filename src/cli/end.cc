// outlive end SESSION: gives a session up at once, with the files in it; its owner's or root's
// call.
#include <memory>

#include "cli/exit_codes.h"
#include "cli/fields.h"
#include "cli/format.h"
#include "cli/verbs.h"

namespace outlive::cli {
namespace {

struct EndOptions {
  std::string session;
  std::string id;
};

Result<int> run_end(Cli& cli, const EndOptions& options) {
  Json parameters = {{"session", options.session}};
  if (!options.id.empty()) parameters["id"] = options.id;
  Result<Json> answer = cli.call("EndSession", parameters);
  // Asked again, because outlived's worker was replaced: the first time has done it.
  if (!answer && answer.error().code == ENOENT && cli.repeated()) answer = Json{{"files", 0}};
  const Json reply = TRY(std::move(answer));
  Fields f(reply);
  const int64_t files = f.number("files");
  TRY(f.check());
  if (cli.json) return cli.print_json(reply);
  cli.print(
      fmt::format("ended {}: {} given up\n", clean(options.session), count_text(files, "file")));
  return kExitOk;
}

}  // namespace

void add_end(CLI::App& app, Cli& cli) {
  CLI::App* verb = app.add_subcommand("end", "Give up a session and the files in it");
  auto options = std::make_shared<EndOptions>();
  verb->add_option("session", options->session, "Name of the session")->required();
  verb->add_option("--id", options->id, "Which one, when several have that name")->type_name("ID");
  add_json_option(*verb, cli);
  verb->footer(R"(
For a session that nobody claims any more; by itself it is given up when its lease ends
(`outlive list sessions` says when). Whoever still holds it sees ESTALE.

Examples:
  outlive end web.state
  outlive end web.state --id 4f00000000000001)");
  verb->callback(
      [&cli, options] { cli.verb = [&cli, options] { return run_end(cli, *options); }; });
}

}  // namespace outlive::cli
