#include "daemon/options.h"

#include <stdlib.h>
#include <unistd.h>

#include <CLI/CLI.hpp>

#include "base/sys.h"
#include "daemon/fleet_post.h"

namespace outlive::daemon {
namespace {

std::string default_config_path() {
  if (geteuid() == 0) return "/etc/outlive/outlive.toml";
  if (const char* xdg = getenv("XDG_CONFIG_HOME"); xdg != nullptr && *xdg == '/') {
    return std::string(xdg) + "/outlive/outlive.toml";
  }
  const char* home = getenv("HOME");
  return std::string(home != nullptr ? home : "") + "/.config/outlive/outlive.toml";
}

}  // namespace

std::optional<int> parse_options(int argc, char** argv, Options& options) {
  CLI::App app(
      "outlived keeps file descriptors, memory and the state behind them alive while the thing "
      "that uses them is replaced.");
  app.name("outlived");
  app.set_version_flag("--version", "outlived " OUTLIVE_VERSION);
  app.add_option("--config", options.config, "Configuration file; see outlive.toml(5)")
      ->type_name("FILE");
  std::string only_check;
  const CLI::Option* check_config =
      app.add_option("--check-config", only_check,
                     "Only read this configuration: 0 if it is good, else file, line and key")
          ->type_name("[FILE]")
          ->expected(0, 1);
  app.add_option("--check", options.check_image,
                 "Only read this image of an arena: 0 if it is good, 78 if it is refused")
      ->type_name("IMAGE");
  app.add_option("--runtime-dir", options.runtime_dir, "Folder of the sockets")->type_name("DIR");
  app.add_option("--state-dir", options.state_dir, "Folder of services' logs")->type_name("DIR");
  app.add_option("--log-level", options.log_level, "error, warning, notice, info or debug")
      ->type_name("LEVEL");
  const CLI::IsMember on_off({"on", "off"});
  app.add_option("--kho", options.kho, "on or off: [kho] enabled")->check(on_off);
  app.add_option("--liveupdate", options.liveupdate, "on or off: [liveupdate] enabled")
      ->check(on_off);
  app.add_flag("--no-keeper", options.no_keeper,
               "One process, which nobody replaces: for valgrind and debuggers");
  app.add_option("--rehearse", options.rehearse)->group("");
  app.add_option("--report-to", options.report_to)->group("");
  app.add_option("--report-for", options.report_for_ms)->group("");
  app.add_option("--report-try", options.report_try_ms)->group("");
  app.footer(
      "Examples:\n"
      "  outlived                          as any user; the sockets' folder is logged\n"
      "  outlived --check-config /etc/outlive/outlive.toml\n"
      "  outlive run --name web -- ./web   then starts a service under it\n"
      "\n"
      "Exit codes: 0 ended in order, 1 failed, 2 usage or configuration, 75 another outlived is\n"
      "at that folder, 78 --check refused the image.");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (!options.report_to.empty()) {
    return post_report(options.report_to, options.report_for_ms * 1'000'000,
                       options.report_try_ms * 1'000'000);
  }
  options.check_config = check_config->count() != 0;
  if (!only_check.empty()) options.config = only_check;
  return std::nullopt;
}

std::string config_path(const Options& options) {
  return options.config.empty() ? default_config_path() : options.config;
}

machine::KeeperOptions keeper_options(const Options& options, const Config& config,
                                      std::vector<std::string> words) {
  machine::KeeperOptions keeper;
  keeper.no_keeper = options.no_keeper;
  keeper.fd_limit = config.fds;
  keeper.most_deaths = static_cast<unsigned>(config.worker_deaths);
  keeper.heartbeat_timeout_ns = config.worker_timeout;
  keeper.takeover = config.takeover;
  keeper.takeover.argv = std::move(words);
  return keeper;
}

Result<ConfigText> read_config_text(const Options& options) {
  const bool given = !options.config.empty();
  ConfigText result{config_path(options), {}};
  Result<std::string> text = sys::read_file(result.path);
  if (!text && text.error().code == ENOENT && !given) return result;
  if (!text) return std::move(text).context("configuration").take_error();
  result.text = std::move(*text);
  return result;
}

Result<LoadedConfig> load_config(const Options& options, std::optional<std::string> in_force) {
  LoadedConfig loaded;
  if (in_force) {
    loaded.text = {"(the configuration in force)", std::move(*in_force)};
  } else {
    loaded.text = TRY(read_config_text(options));
  }
  loaded.config = TRY(config_of(options, loaded.text));
  return loaded;
}

Result<Config> config_of(const Options& options, const ConfigText& text) {
  Config config = TRY(parse_config(text.text, text.path));
  if (!options.runtime_dir.empty()) config.runtime_dir = options.runtime_dir;
  if (!options.state_dir.empty()) config.state_dir = options.state_dir;
  if (!options.log_level.empty() && !parse_log_level(options.log_level, &config.log_level)) {
    return fail(EINVAL, "--log-level={}: error, warning, notice, info or debug is expected",
                options.log_level);
  }
  if (!options.kho.empty()) config.kho_enabled = options.kho == "on";
  if (!options.liveupdate.empty()) config.liveupdate_enabled = options.liveupdate == "on";
  TRY(check_config(config));
  return config;
}

}  // namespace outlive::daemon
