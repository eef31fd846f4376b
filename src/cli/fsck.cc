// outlive fsck: are records, pages and descriptors consistent? Exit 1 when something was found.
#include "cli/exit_codes.h"
#include "cli/fields.h"
#include "cli/format.h"
#include "cli/verbs.h"

namespace outlive::cli {
namespace {

Result<int> run_fsck(Cli& cli) {
  const Json reply = TRY(cli.call("Fsck"));
  Fields f(reply);
  const bool clean_state = f.flag("clean");
  std::string text;
  for (const std::string& finding : f.texts("findings")) text += clean(finding) + "\n";
  text += fmt::format(
      "{}: {}, {}, {} checked; {} corrected since the start\n", clean_state ? "clean" : "NOT CLEAN",
      count_text(f.number("sessions"), "session"), count_text(f.number("files"), "file"),
      count_text(f.number("pages"), "page"), count_text(f.number("leaked_corrected"), "leak"));
  TRY(f.check());
  if (cli.json) {
    cli.print_json(reply);
  } else {
    cli.print(text);
  }
  return clean_state ? kExitOk : kExitFailed;
}

}  // namespace

void add_fsck(CLI::App& app, Cli& cli) {
  CLI::App* verb = app.add_subcommand("fsck", "Check everything that outlived keeps");
  add_json_option(*verb, cli);
  verb->footer(R"(
Compares every record, page and descriptor with the others. Changes nothing; services go on.
Exit code 0: clean; 1: the findings were printed.

Examples:
  outlive fsck
  outlive fsck --json | jq .findings)");
  verb->callback([&cli] { cli.verb = [&cli] { return run_fsck(cli); }; });
}

}  // namespace outlive::cli
