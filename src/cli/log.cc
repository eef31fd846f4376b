// outlive log [SERVICE]: the last lines of a service's log or of outlived's own, and with
// --previous what the flight recorder kept of the outlived before.
#include <chrono>
#include <memory>

#include "base/sys.h"
#include "cli/exit_codes.h"
#include "cli/fields.h"
#include "cli/format.h"
#include "cli/verbs.h"

namespace outlive::cli {
namespace {

constexpr int kFollowMs = 250;

struct LogOptions {
  std::string service;
  bool previous = false;
  bool follow = false;
  int64_t lines = 100;
};

// A log may have anything in it; only tabs and ends of lines keep their meaning.
std::string clean_lines(std::string_view text) {
  std::string cleaned;
  while (!text.empty()) {
    const size_t end = text.find_first_of("\n\t");
    cleaned += clean(text.substr(0, end));
    if (end == text.npos) break;
    cleaned += text[end];
    text.remove_prefix(end + 1);
  }
  return cleaned;
}

// True: Ctrl-C. It waits on the interrupt, so that following ends at once.
Result<bool> interrupted_within(BorrowedFd interrupt, int milliseconds) {
  const UniqueFd epoll = TRY(sys::epoll_create());
  if (interrupt.valid()) {
    TRY(sys::epoll_ctl(epoll, EPOLL_CTL_ADD, interrupt, EPOLLIN, 0));
  }
  epoll_event event = {};
  const size_t count = TRY(sys::epoll_wait(epoll, {&event, 1}, milliseconds));
  return count > 0;
}

Result<int> run_log(Cli& cli, const LogOptions& options) {
  if (options.previous && options.follow) return cli.usage("--previous has nothing to follow");
  if (cli.json && options.follow) return cli.usage("--follow has no --json");
  if (options.lines < 0) return cli.usage("--lines must not be negative");
  Json parameters = {{"previous", options.previous}, {"lines", options.lines}};
  if (!options.service.empty()) parameters["service"] = options.service;
  for (;;) {
    Result<Json> answer = cli.call("Log", parameters);
    // Ctrl-C is how following ends.
    if (!answer && answer.error().code == ECANCELED && options.follow) return kExitOk;
    const Json reply = TRY(std::move(answer));
    Fields f(reply);
    const std::string text = f.text("text");
    const int64_t position = f.number("position");
    TRY(f.check());
    if (cli.json) return cli.print_json(reply);
    cli.print(clean_lines(text));
    if (!options.follow) return kExitOk;
    parameters["after"] = position;
    const bool interrupted = TRY(interrupted_within(cli.around().interrupt, kFollowMs));
    if (interrupted) return kExitOk;
  }
}

}  // namespace

void add_log(CLI::App& app, Cli& cli) {
  CLI::App* verb = app.add_subcommand("log", "Show the log of a service or of outlived");
  auto options = std::make_shared<LogOptions>();
  verb->add_option("service", options->service, "Name of the service; none: outlived's own log");
  verb->add_flag("--previous", options->previous, "What the one before wrote, also if it crashed");
  verb->add_flag("-f,--follow", options->follow, "Go on with what is written from now on");
  verb->add_option("-n,--lines", options->lines, "How many lines (100)")->type_name("N");
  add_json_option(*verb, cli);
  verb->footer(R"(
Examples:
  outlive log web
  outlive log --follow web
  outlive log --previous          the last words of an outlived that died)");
  verb->callback(
      [&cli, options] { cli.verb = [&cli, options] { return run_log(cli, *options); }; });
}

}  // namespace outlive::cli
