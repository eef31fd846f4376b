// outlive compat -- COMMAND...: an emulated /dev/liveupdate for a program written for the kernel's.
#include "compat/compat.h"

#include <memory>

#include "cli/exit_codes.h"
#include "cli/verbs.h"
#include "wire/runtime_dir.h"

namespace outlive::cli {
namespace {

struct CompatOptions {
  std::string kernel;
  std::string device;
  std::string faults;
  bool reboot = false;
  bool stop = false;
};

Result<std::string> device_socket(const Cli& cli, const std::string& name) {
  if (name.empty() || name.size() > 48 || name.find('/') != std::string::npos) {
    return fail(EINVAL, "--device: a name of 1 to 48 characters without a slash");
  }
  std::optional<std::string> given;
  if (!cli.runtime_dir.empty()) given = cli.runtime_dir;
  const wire::RuntimeDir folder = TRY(wire::make_runtime_dir(given));
  return folder.path + "/compat-" + name + ".sock";
}

Result<int> control(Cli& cli, const CompatOptions& options) {
  if (options.device.empty() || options.reboot == options.stop || cli.command) {
    return cli.usage("--reboot or --stop of which device? outlive compat --device NAME --reboot");
  }
  const std::string socket = TRY(device_socket(cli, options.device));
  if (options.stop) {
    TRY(compat::stop(socket));
    cli.print(fmt::format("stopped device {}\n", options.device));
    return kExitOk;
  }
  const uint64_t number = TRY(compat::reboot(socket));
  cli.print(fmt::format("device {}: live update number {}\n", options.device, number));
  return kExitOk;
}

Result<int> run_compat(Cli& cli, const CompatOptions& options) {
  if (options.reboot || options.stop) return control(cli, options);
  if (!cli.command || cli.command->empty()) {
    return cli.usage("compat what? the command stands behind --: outlive compat -- ./agent");
  }
  compat::Options run;
  run.kernel_given = !options.kernel.empty();
  if (options.kernel == "6.19") run.kernel = compat::Kernel::k619;
  run.faults = options.faults;
  run.command = *cli.command;
  run.interrupt = cli.around().interrupt;
  run.warn = [&cli](std::string_view line) { cli.warn(line); };
  if (!options.device.empty()) run.socket = TRY(device_socket(cli, options.device));
  return compat::run(run);
}

}  // namespace

void add_compat(CLI::App& app, Cli& cli) {
  CLI::App* verb = app.add_subcommand("compat", "Run a program with an emulated /dev/liveupdate");
  auto options = std::make_shared<CompatOptions>();
  verb->add_option("--kernel", options->kernel, "Whose rules: 6.19 or 7.3 (default 7.3)")
      ->check(CLI::IsMember({"6.19", "7.3"}));
  verb->add_option("--device", options->device, "A device that lives on between runs");
  verb->add_option("--faults", options->faults, "What shall fail, see outlive(1)");
  verb->add_flag("--reboot", options->reboot, "As a kexec: outgoing sessions become incoming");
  verb->add_flag("--stop", options->stop, "End the device, with all that it holds");
  verb->footer(R"(
The program sees the kernel's ioctl interface to the errno, without a kernel that has it, without
privileges, and without a reboot. It exits as the program does.

Examples:
  outlive compat -- ./agent
  outlive compat --device d -- ./agent --stage 1
  outlive compat --device d --reboot
  outlive compat --device d -- ./agent --stage 2
  outlive compat --device d --stop
  outlive compat --faults preserve:2=ENOMEM -- ./agent)");
  verb->callback(
      [&cli, options] { cli.verb = [&cli, options] { return run_compat(cli, *options); }; });
}

}  // namespace outlive::cli
