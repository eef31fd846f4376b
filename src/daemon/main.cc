// outlived: parse, build the parts, run. The only place that names concrete handlers and machines.
#include <stdlib.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/log.h"
#include "daemon/check_image.h"
#include "daemon/options.h"
#include "daemon/setup.h"
#include "daemon/worker.h"
#include "files/memfd/memfd_device.h"
#include "files/registry_defaults.h"
#include "machine/process/keeper.h"

namespace outlive::daemon {
namespace {

Result<int> run(const Options& options) {
  Config config = TRY(load_config(options));
  if (options.check_config) return EXIT_SUCCESS;
  if (!options.check_image.empty()) return check_image(options.check_image);
  set_log_level(config.log_level);
  Setup setup = TRY(Setup::make(config));
  WorkerInput input{std::move(config), setup.runtime,         setup.state_dir,        {},
                    setup.arena,       setup.device_listener, setup.control_listener, setup.lock};
  files::register_default_handlers(input.handlers);
  // Found out once: every worker is a clone of this process, and starts with the answer.
  static_cast<void>(files::memfd_device(1));
  machine::Control control = TRY(machine::Control::create());
  machine::KeeperOptions keeper;
  keeper.no_keeper = options.no_keeper;
  keeper.fd_limit = input.config.fds;
  keeper.most_deaths = static_cast<unsigned>(input.config.worker_deaths);
  keeper.worker_main = [&](machine::WorkerContext& context) { return worker_main(input, context); };
  return machine::run_keeper(control, std::move(keeper));
}

}  // namespace
}  // namespace outlive::daemon

int main(int argc, char** argv) {
  using namespace outlive;
  set_log_role("outlived");
  if (const char* faults = getenv("OUTLIVE_FAULTS"); faults != nullptr) {
    if (const Status armed = arm_faults(faults); !armed) {
      log_error("{}", armed.error().message);
      return 2;
    }
  }
  daemon::Options options;
  if (const auto code = daemon::parse_options(argc, argv, options)) return *code;
  const Result<int> result = daemon::run(options);
  if (result) return *result;
  log_error("{}", result.error().text());
  return EXIT_FAILURE;
}
