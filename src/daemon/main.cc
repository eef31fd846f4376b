// outlived: parse, build the parts, run. The only place that names concrete handlers and machines.
#include <signal.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "daemon/check_image.h"
#include "daemon/options.h"
#include "daemon/setup.h"
#include "daemon/worker.h"
#include "files/memfd/memfd_device.h"
#include "files/registry_defaults.h"
#include "kho/store.h"
#include "machine/process/keeper.h"

namespace outlive::daemon {
namespace {

Result<int> run(const Options& options, const ConfigText& text, Config config) {
  if (!options.check_image.empty()) return check_image(options.check_image);
  set_log_level(config.log_level);
  Setup setup = TRY(Setup::make(config));
  WorkerInput input{options,     std::move(config),     setup.runtime,          setup.state_dir, {},
                    setup.arena, setup.device_listener, setup.control_listener, setup.lock};
  files::register_default_handlers(input.handlers);
  // Found out once: every worker is a clone of this process, and starts with the answer.
  static_cast<void>(files::memfd_device(1));
  const machine::Confinement confinement = TRY(prepare_confinement(setup, options, input.config));
  static_cast<void>(system_clock().steady_ns());
  machine::Control control = TRY(machine::Control::create());
  TRY(control.keep_config(text.text));
  machine::KeeperOptions keeper;
  keeper.no_keeper = options.no_keeper;
  keeper.fd_limit = input.config.fds;
  keeper.most_deaths = static_cast<unsigned>(input.config.worker_deaths);
  keeper.heartbeat_timeout_ns = input.config.worker_timeout;
  keeper.worker_main = [&](machine::WorkerContext& context) {
    input.confined = confinement.apply().text();
    return worker_main(input, context);
  };
  return machine::run_keeper(control, std::move(keeper));
}

}  // namespace
}  // namespace outlive::daemon

int main(int argc, char** argv) {
  using namespace outlive;
  set_log_role("outlived");
  // A log or memory at the limit of file sizes is an error that is said (EFBIG), not our death.
  ::signal(SIGXFSZ, SIG_IGN);
  if (const char* faults = getenv("OUTLIVE_FAULTS"); faults != nullptr) {
    if (const Status armed = arm_faults(faults); !armed) {
      log_error("{}", armed.error().message);
      return 2;
    }
    kho::set_store_hook([](std::byte*, size_t) { FAULT_POINT("kho.store"); });
  }
  daemon::Options options;
  if (const auto code = daemon::parse_options(argc, argv, options)) return *code;
  const Result<daemon::ConfigText> text = daemon::read_config_text(options);
  Result<daemon::Config> config =
      text ? daemon::config_of(options, *text) : Result<daemon::Config>(text.error());
  if (!config) {
    log_error("{}", config.error().text());
    return 2;
  }
  if (options.check_config) return EXIT_SUCCESS;
  const Result<int> result = daemon::run(options, *text, config.take());
  if (result) return *result;
  log_error("{}", result.error().text());
  return result.error().code == EEXIST ? EX_TEMPFAIL
                                       : EXIT_FAILURE;  // EEXIST: another one is there
}
