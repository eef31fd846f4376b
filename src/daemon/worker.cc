#include "daemon/worker.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "daemon/broken.h"
#include "daemon/hold_server.h"
#include "daemon/inheritance.h"
#include "daemon/kexec_arrival.h"
#include "daemon/reboot_hold.h"
#include "daemon/reloader.h"
#include "daemon/serving.h"

namespace outlive::daemon {

int worker_main(WorkerInput& input, machine::WorkerContext& context) {
  await_reboot(context.control);
  input.config = take_config(context.control, input);
  set_log_level(input.config.log_level);
  const Config& config = input.config;
  const auto hold_because = [&](std::string reason, bool reboot = false) {
    input.awaited.note_open();
    const int code = hold({context.control, input.runtime, input.control_listener,
                           std::move(reason), !context.hold, input.arena, config, reboot});
    input.awaited.note_over();  // an operator has decided
    return code;
  };
  const bool reboots = config.on_incoming_failure == "reboot";
  if (HandOver::is_complete(context.control)) return hold_because(kHandedOver);
  if (context.hold) {
    return hold_because(
        fmt::format("outlived's worker died too often ({0} deaths); requests wait. To try again: "
                    "kill -HUP {1}; with another binary: outlive update outlived; to end "
                    "everything: kill {1}",
                    context.control.block().worker_deaths, context.control.keeper_pid()));
  }
  if (!input.machine_refused.empty()) {
    log_error("The incoming tree failed to initialize properly, disabling live update: {}",
              input.machine_refused);
    const bool fresh = config.on_incoming_failure == "fresh";
    const int code = fresh ? EXIT_SUCCESS : hold_because(input.machine_refused, reboots);
    forget_arrival(input, context.control);
    if (!fresh) return code;
  }
  const EpochKept epoch(input.arena);
  auto worker = std::make_unique<Serving>(input, context);
  if (context.undecided) {
    break_at(BreakAt::kWorker);
    Status taken = worker->attach();
    if (taken) taken = worker->commit();
    if (!taken) {
      machine::Takeover(context.control).give_reason(taken.error().message);
      ::_exit(EXIT_FAILURE);  // no destructor: what it has is the old binary's
    }
  }
  Status attached = context.undecided ? Status() : worker->attach();
  if (!attached) {
    log_error("The incoming tree failed to initialize properly [{}], disabling live update",
              errno_name(attached.error().code));
    log_error("inherited state refused: {}", attached.error().message);
    worker.reset();  // the image is nobody's now
    epoch.put_back();
    if (config.on_incoming_failure != "fresh" ||
        !make_way(input.arena, input.state_dir, context.control)) {
      return hold_because(attached.error().message, reboots);
    }
    input.machine_refused = attached.error().message;
    worker = std::make_unique<Serving>(input, context);
    attached = worker->attach();
  }
  if (!attached) return hold_because(attached.error().message);
  if (const Status started = worker->start(); !started) {
    log_error("start: {}", started.error().text());
    return EXIT_FAILURE;
  }
  if (!input.machine_refused.empty()) worker->report();
  return worker->run();
}

}  // namespace outlive::daemon
