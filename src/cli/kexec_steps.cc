#include "cli/kexec_steps.h"

#include "abi/timeline.h"
#include "base/clock.h"
#include "luo/timeline.h"

namespace outlive::cli {

void KexecSteps::begin(std::string what) {
  end();
  steps_.push_back({std::move(what), system_clock().steady_ns(), 0});
}

void KexecSteps::end() {
  if (!steps_.empty() && steps_.back().ended_ns == 0) {
    steps_.back().ended_ns = system_clock().steady_ns();
  }
}

void KexecSteps::note(std::string what) {
  const uint64_t now = system_clock().steady_ns();
  steps_.push_back({std::move(what), now, now});
}

void KexecSteps::write_into(luo::Records& records, const wire::RequestId& request) const {
  records.for_each<abi::UpdateSlot>([&](abi::UpdateSlot& slot) {
    if (slot.request_id[0] != request.words[0] || slot.request_id[1] != request.words[1]) return;
    luo::Timeline line(records.arena(), slot.timeline);
    for (const Step& step : steps_) {
      const size_t bar = line.begin(abi::kTimelineKexec, step.what, step.begun_ns);
      if (step.ended_ns != 0) line.end(bar, step.ended_ns);
    }
  });
}

}  // namespace outlive::cli
