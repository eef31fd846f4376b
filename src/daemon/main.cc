// outlived: parse, build the parts, run. The only place that names concrete handlers and machines.
#include <signal.h>
#include <stdlib.h>
#include <sysexits.h>

#include "base/log.h"
#include "daemon/broken.h"
#include "daemon/check_image.h"
#include "daemon/kexec_arrival.h"
#include "daemon/options.h"
#include "daemon/other_boot.h"
#include "daemon/rehearse.h"
#include "daemon/setup.h"
#include "files/registry_defaults.h"
#include "machine/process/keeper.h"
#include "machine/process/takeover.h"

namespace outlive::daemon {
namespace {

// `control` is an inherited one (taking_over) or new.
Result<int> run(const Options& options, const Result<LoadedConfig>& loaded,
                machine::Control& control, bool taking_over, StoredFds stored,
                std::vector<std::string> words) {
  if (!loaded) return loaded.error();
  set_log_level(loaded->config.log_level);
  Setup setup = TRY(taking_over ? Setup::inherit(control) : Setup::make(*loaded, stored, control));
  WorkerInput input = setup.worker_input(options, *loaded);
  setup.hand_on(std::move(stored), control, input);
  files::register_default_handlers(input.handlers);
  if (!taking_over) TRY(setup.leave(control, loaded->text));
  find_out_once(control);
  const auto confinement = TRY(prepare_confinement(setup, options, input.config, control));
  machine::KeeperOptions keeper = keeper_options(options, input.config, std::move(words));
  keeper.taking_over = taking_over;
  keeper.worker_main = [&](machine::WorkerContext& context) {
    take_arrival(input, context);
    input.confined = confinement.apply().text();
    return worker_main(input, context);
  };
  break_at(BreakAt::kExec);
  return machine::run_keeper(control, std::move(keeper));
}

Result<int> start(const Options& options, const Result<LoadedConfig>& config,
                  InheritedControl& inherited, std::vector<std::string> words) {
  std::optional<machine::Control> control = TRY(std::move(inherited));
  const bool taking_over = control.has_value();
  StoredFds stored = TRY(taking_over ? StoredFds() : take_of_this_boot());  // numbers are free yet
  if (!taking_over) control = TRY(machine::Control::create());
  auto result = run(options, config, *control, taking_over, std::move(stored), std::move(words));
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
  daemon::InheritedControl control = daemon::inherited_control();
  const auto config = daemon::load_config(options, daemon::config_in_force(options, control));
  if (!options.rehearse.empty()) return daemon::rehearse(options.rehearse, config);
  if (config && options.check_config) return EXIT_SUCCESS;
  const bool check = config && !options.check_image.empty();
  const Result<int> result = check ? daemon::check_image(options.check_image)
                                   : daemon::start(options, config, control, {argv, argv + argc});
  if (result) return *result;
  log_error("{}", result.error().text());
  if (!config) return 2;
  return result.error().code == EEXIST ? EX_TEMPFAIL : EXIT_FAILURE;  // another one is there
}
