// The parser: all verbs in one place, and what wrong words get.
#include <algorithm>

#include "cli/exit_codes.h"
#include "cli/format.h"
#include "cli/verbs.h"

namespace outlive::cli {
namespace {

constexpr char kFooter[] = R"(
A first tour:
  outlived &                                  start the orchestrator
  outlive run --listen 127.0.0.1:7777 -- ./web   put a service under it
  outlive update web                          start ./web again as its next version
  outlive timeline                            what happened, and how long the world stood still

Exit codes: 0 ok, 1 failed, 2 usage, 3 the update was rolled back, 4 something would be lost,
69 outlived is not running, 75 try again, 77 no permission, 78 everything is held and
nobody served (`outlive status` says why), 130 interrupted.)";

// Letters to change, add or drop to get from a to b.
size_t distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j < row.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t change = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = std::exchange(row[j], std::min({row[j] + 1, row[j - 1] + 1, change}));
    }
  }
  return row.back();
}

// CLI11 would say "extra argument"; this names the command that was meant. False: it is known.
bool unknown_command(const CLI::App& app, const std::vector<std::string>& words, Cli& cli) {
  const auto first = std::find_if(words.begin(), words.end(),
                                  [](const std::string& word) { return !word.starts_with('-'); });
  if (first == words.end() || first != words.begin()) return false;
  std::string nearest;
  size_t least = 3;
  for (const CLI::App* verb : app.get_subcommands([](const CLI::App*) { return true; })) {
    const size_t steps = distance(*first, verb->get_name());
    if (steps == 0) return false;
    if (steps < least) {
      least = steps;
      nearest = verb->get_name();
    }
  }
  cli.usage(fmt::format("unknown command '{}'{}", *first,
                        nearest.empty() ? "" : fmt::format("; did you mean '{}'?", nearest)));
  return true;
}

void add_verbs(CLI::App& app, Cli& cli) {
  app.require_subcommand(1);
  app.footer(kFooter);
  app.add_option("--runtime-dir", cli.runtime_dir,
                 "Folder with outlived's sockets ($OUTLIVE_RUNTIME_DIR)")
      ->type_name("DIR");
  add_run(app, cli);
  add_update(app, cli);
  add_rollback(app, cli);
  add_plan(app, cli);
  add_status(app, cli);
  add_list(app, cli);
  add_timeline(app, cli);
  add_log(app, cli);
  add_stop(app, cli);
  add_end(app, cli);
  add_reboot(app, cli);
  add_kexec(app, cli);
#ifdef OUTLIVE_KHO_DEBUG
  add_kho(app, cli);
#endif
  add_finalize_format(app, cli);
  add_fsck(app, cli);
  add_reload(app, cli);
  add_metrics(app, cli);
  add_compat(app, cli);
  add_version(app, cli);
  for (CLI::App* verb : app.get_subcommands([](const CLI::App*) { return true; })) {
    verb->fallthrough();  // --runtime-dir may stand behind the verb too
  }
}

bool takes_command(const CLI::App& app) {
  return app.got_subcommand("run") || app.got_subcommand("update") || app.got_subcommand("compat");
}

// Says what is wrong with the words, or prints the help that was asked for.
int parse_failed(const CLI::App& app, const CLI::ParseError& error, Cli& cli) {
  if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success)) {
    cli.print(app.help());
    return cli.finish(kExitOk);
  }
  std::string what = error.what();
  const bool extra = error.get_exit_code() == static_cast<int>(CLI::ExitCodes::ExtrasError);
  if (extra && !cli.command && takes_command(app)) {
    what += "; a command to run stands behind --";
  }
  std::replace(what.begin(), what.end(), '\n', ' ');
  return cli.usage(what);
}

}  // namespace

void add_json_option(CLI::App& verb, Cli& cli) {
  verb.add_flag("--json", cli.json, "Print the reply as JSON");
}

int run_cli(std::vector<std::string> words, const Surroundings& around) {
  Cli cli(around);
  CLI::App app("Replaces services, and what is under them, while their state lives on.", "outlive");
  add_verbs(app, cli);
  if (words.empty()) {
    std::fputs(app.help().c_str(), around.err);
    return kExitUsage;
  }
  // The words of another program are none of the parser's business.
  const auto marker = std::find(words.begin(), words.end(), "--");
  if (marker != words.end()) {
    cli.command.emplace(marker + 1, words.end());
    words.erase(marker, words.end());
  }
  if (unknown_command(app, words, cli)) return kExitUsage;
  try {
    std::reverse(words.begin(), words.end());  // as CLI11 wants them
    app.parse(words);
  } catch (const CLI::ParseError& error) {
    return parse_failed(app, error, cli);
  }
  if (cli.command && !takes_command(app)) {
    return cli.usage("only run, update and compat take a command behind --");
  }
  Result<int> code = cli.verb();
  return cli.finish(code ? *code : cli.report(code.error()));
}

}  // namespace outlive::cli
