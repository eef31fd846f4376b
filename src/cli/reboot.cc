// outlive reboot --soft: replaces all of user space that outlived supervises, in one barrier, and
// outlived itself; the machine stays up. With --dry-run it only says what each service and each
// other client holds.
#include <time.h>

#include <chrono>
#include <memory>

#include "cli/exit_codes.h"
#include "cli/fields.h"
#include "cli/format.h"
#include "cli/launch_options.h"
#include "cli/progress.h"
#include "cli/table.h"
#include "cli/verbs.h"

namespace outlive::cli {
namespace {

struct RebootOptions {
  bool soft = false;
  bool dry_run = false;
  bool keep_outlived = false;
  bool force = false;
  std::string binary;
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

struct Outcome {
  std::string text;
  std::string step;  // while it is running: of who is the furthest back
  bool running = false;
  bool cancelled = false;
  std::string not_replaced;  // why outlived was not
  bool unfinished = false;   // the finish of one failed
};

Status add_outlived(const Json& reply, Table& table, Outcome& outcome) {
  if (!reply.contains("outlived")) return fail(EPROTO, "outlived says nothing of itself");
  Fields f(reply["outlived"]);
  const std::string result = f.text("result");
  const std::string step = f.maybe_text("step").value_or("-");
  const std::string reason = f.maybe_text("reason").value_or("");
  const std::string to = f.maybe_text("to_version").value_or("");
  TRY(f.check());
  if (result == "running") {
    outcome.running = true;
    if (outcome.step.empty() || step != "waiting") outcome.step = "outlived: " + step;
  }
  if (result == "rolled back" || result == "refused") {
    outcome.not_replaced = reason.empty() ? "no reason given" : reason;
  }
  const bool updated = result == "updated" && !to.empty();
  table.row({"-", "outlived", step, updated ? "updated to " + to : result,
             reason.empty() ? "-" : reason});
  return {};
}

Result<Outcome> outcome_of(const Json& reply) {
  Outcome outcome;
  Table table({"UPDATE", "SERVICE", "STEP", "RESULT", "REASON"});
  for (const Json& one : reply["services"]) {
    Fields f(one);
    const std::string result = f.text("result");
    table.row({f.text("update"), f.text("service"), f.text("step"), result,
               f.maybe_text("reason").value_or("-")});
    TRY(f.check());
    outcome.cancelled = outcome.cancelled || result == "rolled back";
    outcome.unfinished = outcome.unfinished || result == "finish failed";
    if (result != "running") continue;
    outcome.running = true;
    if (outcome.step.empty()) outcome.step = f.text("service") + ": " + f.text("step");
  }
  TRY(add_outlived(reply, table, outcome));
  outcome.text = table.text();
  return outcome;
}

Result<Json> parameters_of(const RebootOptions& options) {
  const std::string id = TRY(new_request_id());
  Json parameters{{"request_id", id}};
  if (options.keep_outlived) parameters["keep_outlived"] = true;
  if (options.force) parameters["force"] = true;
  if (options.binary.empty()) return parameters;
  const std::string folder = TRY(working_directory());
  parameters["binary"] =
      options.binary.starts_with('/') ? options.binary : folder + "/" + options.binary;
  return parameters;
}

// Asks until it is over.
Result<Json> watch_reboot(Cli& cli, const Json& parameters) {
  using std::chrono::steady_clock;
  Progress progress(cli.around().err, progress_mode(cli), "the host");
  const auto began = steady_clock::now();
  std::string shown;
  for (;;) {
    Json reply = TRY(cli.call("Reboot", parameters));
    const Outcome outcome = TRY(outcome_of(reply));
    if (!outcome.running) return reply;
    if (outcome.step != shown) {
      const auto elapsed = steady_clock::now() - began;
      progress.step(outcome.step, "",
                    std::chrono::duration_cast<std::chrono::microseconds>(elapsed).count());
    }
    shown = outcome.step;
    progress.tick();
    ::nanosleep(&kPause, nullptr);
  }
}

Result<int> run_reboot(Cli& cli, const RebootOptions& options) {
  if (!options.soft) {
    return cli.usage("only --soft: the machine stays up, all services are replaced at once");
  }
  if (options.dry_run) return dry_run(cli);
  const Json parameters = TRY(parameters_of(options));
  const Json reply = TRY(watch_reboot(cli, parameters));
  const Outcome outcome = TRY(outcome_of(reply));
  if (cli.json) {
    cli.print_json(reply);
  } else {
    cli.print(outcome.text);
  }
  if (outcome.cancelled) return kExitRolledBack;
  if (outcome.not_replaced.empty()) return outcome.unfinished ? kExitFailed : kExitOk;
  cli.warn("the services were replaced, outlived was not: " + outcome.not_replaced);
  return kExitFailed;
}

}  // namespace

void add_reboot(CLI::App& app, Cli& cli) {
  CLI::App* verb =
      app.add_subcommand("reboot", "Replace all services at once, the machine stays up");
  auto options = std::make_shared<RebootOptions>();
  verb->add_flag("--soft", options->soft, "All of user space that outlived supervises");
  verb->add_flag("--dry-run", options->dry_run, "Only say what would be kept and lost");
  verb->add_option("--binary", options->binary,
                   "outlived's next version (the file at the path of what runs)")
      ->type_name("FILE");
  verb->add_flag("--force", options->force, "Also a binary of outlived that has failed too often");
  verb->add_flag("--keep-outlived", options->keep_outlived, "Replace the services only");
  verb->add_flag("--progress", cli.progress, "A line a step, also when this is no terminal");
  add_json_option(*verb, cli);
  verb->footer(R"(
outlived's next version is rehearsed first: when that fails, nothing else is done (exit code 4). Then
every service is asked; one that says no, dies or doesn't answer in time cancels it for all (exit
code 3), and everyone goes on as before. Else all sessions turn incoming in one step, outlived is
replaced, every service is started anew and retrieves what it had. Sessions of other clients can be
retrieved as well. When outlived can't be replaced after all, or its next version doesn't get ready,
the services are started anew by the one that runs (exit code 1, with the reason).

Examples:
  outlive reboot --soft --dry-run
  outlive reboot --soft --progress
  outlive reboot --soft --binary ./outlived-v2)");
  verb->callback(
      [&cli, options] { cli.verb = [&cli, options] { return run_reboot(cli, *options); }; });
}

}  // namespace outlive::cli
