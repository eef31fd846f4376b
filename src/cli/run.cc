// outlive run [--listen ADDR]... -- COMMAND...: puts a service under outlived, and waits until it
// serves, or says why it doesn't.
#include <memory>

#include "cli/exit_codes.h"
#include "cli/fields.h"
#include "cli/format.h"
#include "cli/launch_options.h"
#include "cli/progress.h"
#include "cli/verbs.h"
#include "wire/body.h"

namespace outlive::cli {
namespace {

struct RunOptions {
  std::string name;
  std::vector<std::string> listen;
  std::vector<std::string> env;
  bool clean_env = false;
  std::string restart = "on-failure";
  std::string policy = "fail";
  bool notify = false;
  std::string ready_timeout = "0";
  std::string stop_timeout = "0";
};

Result<Json> run_parameters(const RunOptions& options, const std::vector<std::string>& command) {
  Json parameters = {
      {"restart", options.restart}, {"notify", options.notify}, {"policy", options.policy}};
  parameters["listen"] = Json::array();
  for (const std::string& address : options.listen) {
    const std::string canonical = TRY(listen_address(address));
    parameters["listen"].push_back(canonical);
  }
  parameters["env"] = TRY(launch_environment(options.env, options.clean_env));
  parameters["ready_timeout_ms"] =
      TRY(parse_duration_ms(options.ready_timeout).context("--ready-timeout"));
  parameters["stop_timeout_ms"] =
      TRY(parse_duration_ms(options.stop_timeout).context("--stop-timeout"));
  const std::string& program = command.front();
  const std::string name =
      options.name.empty() ? program.substr(program.rfind('/') + 1) : options.name;
  TRY(wire::check_name(name, "service name"));  // here: JSON can't carry what is not UTF-8
  parameters["name"] = name;
  return parameters;
}

Result<int> run_run(Cli& cli, const RunOptions& options) {
  if (!cli.command || cli.command->empty()) {
    return cli.usage("run what? the command stands behind --: outlive run -- ./web --port 80");
  }
  Result<Json> checked = run_parameters(options, *cli.command);
  if (!checked && checked.error().code == EINVAL) return cli.usage(checked.error().message);
  Json parameters = TRY(std::move(checked));
  parameters["argv"] = TRY(launch_argv(*cli.command));
  parameters["cwd"] = TRY(working_directory());
  parameters["request_id"] = TRY(new_request_id());
  const std::string name = parameters["name"].get<std::string>();

  Progress progress(cli.around().err,
                    cli.around().terminal ? ProgressMode::kRewrite : ProgressMode::kSilent, name);
  const auto each = [&](const Json& reply) {
    Fields f(reply);
    progress.step(f.text("state"), f.maybe_text("waiting_for").value_or(""),
                  f.maybe_number("elapsed_us").value_or(0));
  };
  Result<Json> reply = cli.watch("Run", parameters, each, [&] { progress.tick(); });
  progress.clear();
  if (!reply && reply.error().code == ECANCELED) {
    return fail(ECANCELED, "interrupted; {} goes on starting: `outlive list` shows it", name);
  }
  const Json last = TRY(std::move(reply));
  Fields f(last);
  const std::string line =
      fmt::format("running {}: pid {}\n", clean(f.text("service")), f.number("pid"));
  TRY(f.check());
  if (cli.json) return cli.print_json(last);
  cli.print(line);
  return kExitOk;
}

}  // namespace

void add_run(CLI::App& app, Cli& cli) {
  CLI::App* verb = app.add_subcommand("run", "Put a service under outlived");
  auto options = std::make_shared<RunOptions>();
  verb->add_option("name,--name", options->name, "Its name (the program's)")->type_name("NAME");
  verb->add_option("--listen", options->listen,
                   "Open a socket for it (LISTEN_FDS) that outlives it: [NAME=]HOST:PORT, "
                   "tcp:HOST:PORT, udp:HOST:PORT or unix:PATH; may be repeated")
      ->type_name("ADDR")
      ->allow_extra_args(false);
  verb->add_option("--restart", options->restart, "When it ends: no, on-failure (default), always")
      ->type_name("WHEN")
      ->check(CLI::IsMember({"no", "on-failure", "always"}));
  verb->add_flag("--notify", options->notify, "It says READY=1 (sd_notify) when it serves");
  verb->add_option("--policy", options->policy,
                   "When an update would lose a file: fail (default), skip, degrade")
      ->type_name("POLICY")
      ->check(CLI::IsMember({"fail", "skip", "degrade"}));
  verb->add_option("--ready-timeout", options->ready_timeout, "How long it may take to get ready")
      ->type_name("TIME");
  verb->add_option("--stop-timeout", options->stop_timeout, "How long it may take to end")
      ->type_name("TIME");
  verb->add_option("--env", options->env, "A variable over your environment; may be repeated")
      ->type_name("NAME=VALUE")
      ->allow_extra_args(false);
  verb->add_flag("--clean-env", options->clean_env, "Only --env and PATH, not your environment");
  add_json_option(*verb, cli);
  verb->footer(R"(
Usage: outlive run [NAME] [OPTIONS] -- COMMAND [ARGUMENTS]...

Returns when the service is ready. It runs as you, in this folder, with this environment. One that
doesn't start says why, with the last lines of its log. TIME: 500ms, 30s, 2m. HOST: an IPv4 address,
an IPv6 address in brackets, or nothing for all IPv4 addresses.

Examples:
  outlive run -- ./kv --port 7379
  outlive run web --listen 127.0.0.1:8080 --notify -- gunicorn app:app
  outlive run --listen main=tcp:[::]:80 --listen admin=unix:/run/web.sock -- ./web)");
  verb->callback(
      [&cli, options] { cli.verb = [&cli, options] { return run_run(cli, *options); }; });
}

}  // namespace outlive::cli
