// outlive reboot --soft: replaces all of user space that outlived supervises, in one barrier; the
// machine stays up. With --dry-run it only says what each service and each other client holds.
#include <time.h>

#include <memory>

#include "cli/exit_codes.h"
#include "cli/fields.h"
#include "cli/format.h"
#include "cli/table.h"
#include "cli/verbs.h"

namespace outlive::cli {
namespace {

struct RebootOptions {
  bool soft = false;
  bool dry_run = false;
};

constexpr timespec kPause{0, 20'000'000};  // between two questions

// What each service would lose, and what clients hold that are no services.
Result<int> dry_run(Cli& cli) {
  const Json services = TRY(cli.call_list("ListServices", Json::object(), "services"));
  const Json sessions = TRY(cli.call_list("ListSessions", Json::object(), "sessions"));
  Json plans = Json::array();
  Table table({"SERVICE", "STATE", "WOULD"});
  int64_t lost = 0;
  for (const Json& service : services["services"]) {
    Fields f(service);
    const std::string name = f.text("name");
    const std::string state = f.text("state");
    TRY(f.check());
    const Json plan = TRY(cli.call_list("Plan", {{"name", name}, {"scope", "host"}}, "files"));
    Fields p(plan);
    lost += p.number("lost");
    table.row({name, state, p.text("would")});
    TRY(p.check());
    plans.push_back({{"service", name}, {"plan", plan}});
  }
  Json others = Json::array();
  for (const Json& session : sessions["sessions"]) {
    if (!session.contains("service") || session["service"].is_null()) others.push_back(session);
  }
  if (cli.json) {
    cli.print_json({{"services", plans}, {"sessions_of_no_service", others}, {"lost", lost}});
  } else {
    cli.print(table.empty() ? "no services\n" : table.text());
    cli.print(fmt::format("{} of no service would turn incoming, to be retrieved anew\n",
                          count_text(static_cast<int64_t>(others.size()), "session")));
  }
  return lost > 0 ? kExitWouldLose : kExitOk;
}

Result<std::string> result_text(const Json& reply, bool* running, bool* rolled_back) {
  Table table({"UPDATE", "SERVICE", "STEP", "RESULT", "REASON"});
  for (const Json& one : reply["services"]) {
    Fields f(one);
    const std::string result = f.text("result");
    table.row({f.text("update"), f.text("service"), f.text("step"), result,
               f.maybe_text("reason").value_or("-")});
    TRY(f.check());
    *running = *running || result == "running";
    *rolled_back = *rolled_back || result == "rolled back";
  }
  return table.text();
}

Result<int> run_reboot(Cli& cli, const RebootOptions& options) {
  if (!options.soft) {
    return cli.usage("only --soft: the machine stays up, all services are replaced at once");
  }
  if (options.dry_run) return dry_run(cli);
  Json parameters = Json::object();
  parameters["request_id"] = TRY(new_request_id());
  for (;;) {
    const Json reply = TRY(cli.call("Reboot", parameters));
    bool running = false;
    bool rolled_back = false;
    const std::string text = TRY(result_text(reply, &running, &rolled_back));
    if (running) {
      ::nanosleep(&kPause, nullptr);
      continue;
    }
    if (cli.json) {
      cli.print_json(reply);
    } else {
      cli.print(text);
    }
    return rolled_back ? kExitRolledBack : kExitOk;
  }
}

}  // namespace

void add_reboot(CLI::App& app, Cli& cli) {
  CLI::App* verb =
      app.add_subcommand("reboot", "Replace all services at once, the machine stays up");
  auto options = std::make_shared<RebootOptions>();
  verb->add_flag("--soft", options->soft, "All of user space that outlived supervises");
  verb->add_flag("--dry-run", options->dry_run, "Only say what would be kept and lost");
  add_json_option(*verb, cli);
  verb->footer(R"(
Every service is asked; one that says no, dies or doesn't answer in time cancels it for all (exit
code 3), and everyone goes on as before. Else all sessions turn incoming in one step, every service
is started anew and retrieves what it had. Sessions of other clients can be retrieved as well.

Examples:
  outlive reboot --soft --dry-run
  outlive reboot --soft)");
  verb->callback(
      [&cli, options] { cli.verb = [&cli, options] { return run_reboot(cli, *options); }; });
}

}  // namespace outlive::cli
