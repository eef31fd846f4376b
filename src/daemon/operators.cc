#include "daemon/operators.h"

#include "daemon/device.h"
#include "daemon/metrics.h"
#include "daemon/totals.h"

namespace outlive::daemon {

Operators::Operators(Parts& parts, WorkerInput& input, Supervisor& supervisor, const Device& device)
    : parts_(parts),
      metrics_(parts.loop, parts.control, [this] { return parts_.metrics(); }),
      reloader_(parts, input, supervisor, metrics_) {
  parts.metrics = [&parts, &device] { return all_metrics(parts, device.size()); };
  parts.reloader = &reloader_;
}

void Operators::tick(uint64_t now_ns) {
  metrics_.tick(now_ns);
  reloader_.tick();
  follow_finish_failure(now_ns);
  abi::MetricTotals& totals = parts_.control.operators().totals;
  count_time(totals.turns, parts_.now() - parts_.loop.woken_ns());
  if (parts_.closer.timeouts() == closer_timeouts_) return;
  count(totals.closer_timeouts, parts_.closer.timeouts() - closer_timeouts_);
  closer_timeouts_ = parts_.closer.timeouts();
}

void Operators::follow_finish_failure(uint64_t now_ns) {
  if (!parts_.core.updates().any_finish_failed()) return;
  const Config& config = parts_.config;
  std::vector<std::string> command;
  if (config.on_finish_failure == "reboot") command = config.reboot_command;
  if (!rebooter_ || command != reboot_command_ || config.reboot_timeout_ns != reboot_timeout_ns_) {
    reboot_command_ = command;
    reboot_timeout_ns_ = config.reboot_timeout_ns;
    rebooter_.emplace(parts_.control, parts_.launches, "on-finish-failure", std::move(command),
                      reboot_timeout_ns_);
  }
  rebooter_->turn(now_ns);
}

}  // namespace outlive::daemon
