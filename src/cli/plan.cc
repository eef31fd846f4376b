// outlive plan [NAME | --pid PID]: what an update would keep and what it would lose. Changes
// nothing. Exit 4 when something would be lost.
#include <memory>

#include "cli/exit_codes.h"
#include "cli/fields.h"
#include "cli/format.h"
#include "cli/plan_pid.h"
#include "cli/table.h"
#include "cli/verbs.h"

namespace outlive::cli {
namespace {

struct PlanOptions {
  std::string name;
  int64_t pid = 0;
  std::string scope;
};

Result<std::string> plan_table(const Json& files, bool by_pid) {
  Table table({by_pid ? ">FD" : "SESSION", by_pid ? "" : "TOKEN", "KIND", "CROSSES", "SURVIVES",
               "NOTE", "DETAIL"});
  for (const Json& file : files) {
    Fields f(file);
    const auto fd = f.maybe_number("fd");
    const auto token = f.maybe_text("token");
    std::string crosses = f.text("crosses");
    if (crosses == "lost") crosses = "LOST";
    table.row({by_pid ? (fd ? fmt::format("{}", *fd) : "-") : f.maybe_text("session").value_or("-"),
               !by_pid && token ? "0x" + *token : "", f.text("kind"), crosses, f.text("survival"),
               f.text("note"), f.text("detail")});
    TRY(f.check());
  }
  return table.empty() ? std::string("nothing is preserved\n") : table.text();
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + clean(word);
  return text;
}

Result<int> run_plan(Cli& cli, const PlanOptions& options) {
  const bool by_pid = options.pid != 0;
  if (by_pid == !options.name.empty()) return cli.usage("plan what? either NAME or --pid PID");
  Result<Json> planned = fail(EINVAL, "no plan");
  if (by_pid) {
    planned = plan_of_pid(options.pid, options.scope);
  } else {
    Json parameters{{"name", options.name}};
    if (!options.scope.empty()) parameters["scope"] = options.scope;
    planned = cli.call_list("Plan", parameters, "files");
  }
  const Json reply = TRY(std::move(planned));
  Fields f(reply);
  const int64_t lost = f.number("lost");
  const std::vector<std::string> participants = f.texts("participants");
  const std::string would = f.text("would");
  TRY(f.check());
  std::string text = TRY(plan_table(reply["files"], by_pid));
  if (!participants.empty()) text += fmt::format("asked: {}\n", joined(participants));
  text += clean(would) + "\n";
  if (cli.json) {
    cli.print_json(reply);
  } else {
    cli.print(text);
  }
  return lost > 0 ? kExitWouldLose : kExitOk;
}

}  // namespace

void add_plan(CLI::App& app, Cli& cli) {
  CLI::App* verb = app.add_subcommand("plan", "Tell beforehand what an update would lose");
  auto options = std::make_shared<PlanOptions>();
  verb->add_option("name", options->name, "Name of the service");
  verb->add_option("--pid", options->pid, "Any process, also one that knows nothing of outlive")
      ->type_name("PID")
      ->check(CLI::PositiveNumber);
  verb->add_option("--scope", options->scope, "What is replaced: service, daemon, host or kernel")
      ->type_name("SCOPE")
      ->check(CLI::IsMember({"service", "daemon", "host", "kernel"}));
  add_json_option(*verb, cli);
  verb->footer(R"(
CROSSES: keep (the open file itself stays open), recreate (made anew from its state), by kernel, LOST.
Exit code 0: nothing would be lost; 4: something would.

Examples:
  outlive plan web
  outlive plan web --scope kernel
  outlive plan --pid $(pidof nginx))");
  verb->callback(
      [&cli, options] { cli.verb = [&cli, options] { return run_plan(cli, *options); }; });
}

}  // namespace outlive::cli
