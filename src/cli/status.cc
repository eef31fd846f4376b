// outlive status: is outlived well, and does it hold what it should? Exit 78 when it refused what
// it inherited, serves nobody because its worker died too often, or could not finish an update.
#include "cli/exit_codes.h"
#include "cli/fields.h"
#include "cli/format.h"
#include "cli/verbs.h"

namespace outlive::cli {
namespace {

std::string features(bool kho, bool liveupdate) {
  return fmt::format("kho {}, liveupdate {}", kho ? "on" : "off", liveupdate ? "on" : "off");
}

Result<std::string> status_text(const Json& reply) {
  Fields f(reply);
  std::string text;
  const auto line = [&](const char* name, const std::string& value) {
    text += fmt::format("{:<14}{}\n", name, clean(value));
  };
  line("state", f.text("state") + (f.flag("in_progress") ? " (an update is going on)" : ""));
  const std::optional<std::string> refused = f.maybe_text("refused");
  if (refused) line("refused", *refused);
  if (const auto held = f.maybe_text("held")) line("held", *held);
  if (const auto failed = f.maybe_text("finish_failed")) line("finish failed", *failed);
  line("updates", fmt::format("live update number {}", f.number("live_update_number")));
  line("holds", fmt::format("{}, {}, {}", count_text(f.number("services"), "service"),
                            count_text(f.number("sessions"), "session"),
                            count_text(f.number("files"), "file")));
  line("arena", fmt::format("{} of {}", bytes_text(f.number("arena_used")),
                            bytes_text(f.number("arena_size"))));
  line("processes", fmt::format("keeper {}, worker {}, spare {}; {}", f.number("pid_keeper"),
                                f.number("pid_worker"), f.number("pid_spare"),
                                count_text(f.number("worker_deaths"), "worker death")));
  const int64_t self_updates = f.maybe_number("self_updates").value_or(0);
  const int64_t self_rollbacks = f.maybe_number("self_rollbacks").value_or(0);
  if (self_updates + self_rollbacks != 0) {
    line("of itself",
         fmt::format("{}, {} rolled back", count_text(self_updates, "update"), self_rollbacks));
  }
  if (const auto format = f.maybe_text("format")) line("format", *format);
  if (const auto failed = f.maybe_text("self_update_failed")) line("last failure", *failed);
  line("uptime", duration_text(f.number("uptime_us")));
  line("version", f.text("version"));
  line("features", features(f.flag("kho_enabled"), f.flag("liveupdate_enabled")));
  if (const auto confined = f.maybe_text("confinement")) line("confinement", *confined);
  if (const auto machine = f.maybe_text("machine")) line("machine", *machine);
  if (const auto store = f.maybe_text("fd_store")) line("fd store", *store);
  line("sockets", f.text("runtime_dir"));
  for (const std::string& words : f.maybe_texts("log")) text += "  | " + clean(words) + "\n";
  TRY(f.check());
  return text;
}

Result<int> run_status(Cli& cli) {
  const Json reply = TRY(cli.call("Status"));
  const std::string text = TRY(status_text(reply));
  if (cli.json) {
    cli.print_json(reply);
  } else {
    cli.print(text);
  }
  Fields f(reply);
  if (const auto refused = f.maybe_text("refused")) {
    cli.warn(
        fmt::format("inherited state refused: {}; it is held untouched until outlived is ended "
                    "(SIGTERM), and then it is gone",
                    *refused));
    return kExitRefused;
  }
  if (const auto held = f.maybe_text("held")) {
    cli.warn(fmt::format("everything is held, nobody is served: {}", *held));
    return kExitRefused;
  }
  if (const auto failed = f.maybe_text("finish_failed")) {
    cli.warn(fmt::format("an update could not be finished, there is no further one: {}", *failed));
    return kExitRefused;
  }
  return kExitOk;
}

}  // namespace

void add_status(CLI::App& app, Cli& cli) {
  CLI::App* verb = app.add_subcommand("status", "Show how outlived is");
  add_json_option(*verb, cli);
  verb->footer(R"(
Exit code 0: it runs and is well; 69: it doesn't run; 78: it serves nobody, and holds what
it has: inherited state that it refused, or all of it because its worker died too often; or
the finish of an update broke an invariant, and there is no further one.

Examples:
  outlive status
  outlive status --json | jq .worker_deaths)");
  verb->callback([&cli] { cli.verb = [&cli] { return run_status(cli); }; });
}

}  // namespace outlive::cli
