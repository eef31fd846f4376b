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
  abi::MetricTotals& totals = parts_.control.operators().totals;
  count_time(totals.turns, parts_.now() - parts_.loop.woken_ns());
  if (parts_.closer.timeouts() == closer_timeouts_) return;
  count(totals.closer_timeouts, parts_.closer.timeouts() - closer_timeouts_);
  closer_timeouts_ = parts_.closer.timeouts();
}

}  // namespace outlive::daemon
