// outlive finalize-format: from here on outlived's memory is of the newest format, which an older
// outlived can't read.
#include "cli/exit_codes.h"
#include "cli/fields.h"
#include "cli/format.h"
#include "cli/verbs.h"

namespace outlive::cli {
namespace {

Result<int> run_finalize(Cli& cli) {
  const std::string id = TRY(new_request_id());
  const Json reply = TRY(cli.call("FinalizeFormat", {{"request_id", id}}));
  if (cli.json) return cli.print_json(reply);
  Fields f(reply);
  const std::string line =
      fmt::format("{} {}\n", f.flag("changed") ? "the format is now" : "the format is already",
                  clean(f.text("format")));
  TRY(f.check());
  cli.print(line);
  return kExitOk;
}

}  // namespace

void add_finalize_format(CLI::App& app, Cli& cli) {
  CLI::App* verb =
      app.add_subcommand("finalize-format", "Change to the newest format: no way back");
  add_json_option(*verb, cli);
  verb->footer(R"(
After an update outlived goes on writing the format that it found, so that the version before can
take over again. This ends that: its memory gets the newest format, and an outlived that doesn't
read it refuses to take over.

Exit code 75: outlived has just been updated, and the version before may still come back.

Examples:
  outlive finalize-format)");
  verb->callback([&cli] { cli.verb = [&cli] { return run_finalize(cli); }; });
}

}  // namespace outlive::cli
