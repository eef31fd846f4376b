// outlived: parse, build the parts, run. The only place that names concrete handlers and machines.
#include <signal.h>
#include <stdlib.h>
#include <sysexits.h>

#include "base/log.h"
#include "daemon/broken.h"
#include "daemon/check_image.h"
#include "daemon/options.h"
#include "daemon/rehearse.h"
#include "daemon/setup.h"
#include "daemon/stored_fds.h"
#include "daemon/worker.h"
#include "files/registry_defaults.h"
#include "machine/process/keeper.h"
#include "machine/process/takeover.h"

namespace outlive::daemon {
namespace {

// `control` is an inherited one (taking_over) or new.
Result<int> run(const Options& options, const Result<Config>& config, machine::Control& control,
                bool taking_over, StoredFds stored, std::vector<std::string> words) {
  if (!config) return config.error();
  set_log_level(config->log_level);
  Setup setup = TRY(taking_over ? Setup::inherit(control) : Setup::make(*config, stored));
  WorkerInput input{*config,     setup.runtime,         setup.state_dir,        {},
                    setup.arena, setup.device_listener, setup.control_listener, setup.lock};
  setup.hand_on(std::move(stored), control, input);
  files::register_default_handlers(input.handlers);
  if (!taking_over) setup.leave(control);
  find_out_once(control);
  const machine::Confinement confinement =
      TRY(prepare_confinement(setup, options, input.config, control));
  machine::KeeperOptions keeper = keeper_options(options, input.config, std::move(words));
  keeper.taking_over = taking_over;
  keeper.worker_main = [&](machine::WorkerContext& context) {
    input.confined = confinement.apply().text();
    return worker_main(input, context);
  };
  break_at(BreakAt::kExec);
  return machine::run_keeper(control, std::move(keeper));
}

Result<int> start(const Options& options, const Result<Config>& config,
                  std::vector<std::string> words) {
  std::optional<machine::Control> control = TRY(inherited_control());
  const bool taking_over = control.has_value();
  StoredFds stored = TRY(taking_over ? StoredFds() : StoredFds::take());  // numbers are free yet
  if (!taking_over) control = TRY(machine::Control::create());
  Result<int> result =
      run(options, config, *control, taking_over, std::move(stored), std::move(words));
  if (!result && taking_over) machine::Takeover(*control).give_reason(result.error().message);
  return result;
}

}  // namespace
}  // namespace outlive::daemon

int main(int argc, char** argv) {
  using namespace outlive;
  set_log_role("outlived");
  ::signal(SIGXFSZ, SIG_IGN);  // the limit of file sizes is an error that is said, not our death
  if (const Status armed = daemon::arm_from_environment(); !armed) {
    log_error("{}", armed.error().message);
    return 2;
  }
  daemon::Options options;
  if (const auto code = daemon::parse_options(argc, argv, options)) return *code;
  const Result<daemon::Config> config = daemon::load_config(options);
  if (!options.rehearse.empty()) return daemon::rehearse(options.rehearse, config);
  if (config && options.check_config) return EXIT_SUCCESS;
  const Result<int> result = config && !options.check_image.empty()
                                 ? daemon::check_image(options.check_image)
                                 : daemon::start(options, config, {argv, argv + argc});
  if (result) return *result;
  log_error("{}", result.error().text());
  if (!config) return 2;
  return result.error().code == EEXIST ? EX_TEMPFAIL : EXIT_FAILURE;  // another one is there
}
