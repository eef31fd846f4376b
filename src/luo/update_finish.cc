// An update whose finish breaks an invariant (finish_check.h). It is past commit, so there is no
// way back; and going on would leak. So it stays where it is: state `updated`, step `commit`, with
// the reason in its record, and no further update of its service begins.
//
//   finish -> finish_failed -> (told; `reboot` if so configured, by who knows what that is)
//
// The next worker derives everything anew, and looks again: also one of outlived's next version,
// which may be what mends it. So is the end of the service, whose record goes with it.
#include "base/log.h"
#include "luo/update.h"

namespace outlive::luo {

Status Updates::may_begin(const abi::ServiceSlot& service) {
  if (const auto why = finish_failure(service)) {
    return fail(
        EUCLEAN,
        "service '{}': the finish of its last update failed, and there is no further one: {}",
        service.name, *why);
  }
  if (service.active_update == 0) return {};
  return fail(EBUSY, "service '{}': an update is running", service.name);
}

void Updates::finish_failed(Active& update, const Error& why) {
  abi::UpdateSlot& slot = *update.slot;
  {
    Change change(*context_.records);
    change.set(slot.flags, slot.flags | abi::kUpdateFinishFailed);
    change.set(slot.result, int64_t{why.code});
    change.set_text(slot.reason, why.message);
    change.commit();
  }
  update.deadline_ns = 0;
  log_error(
      "update {:x}: service '{}': its finish broke an invariant: {}: it stays in [updated], and "
      "takes no further update",
      slot.header.id, update.service->name, why.message);
  update.timeline.point("outlived", "finish failed", now());
  host_.over(slot);
}

void Updates::forget_finish_failure(Active& update) {
  abi::UpdateSlot& slot = *update.slot;
  if (!luo::finish_failed(slot)) return;
  Change change(*context_.records);
  change.set(slot.flags, slot.flags & ~abi::kUpdateFinishFailed);
  change.set(slot.result, int64_t{0});
  change.set_text(slot.reason, "");
  change.commit();
}

std::optional<std::string> Updates::finish_failure(const abi::ServiceSlot& service) {
  const Active* update = active_of(service);
  if (update == nullptr || !luo::finish_failed(*update->slot)) return std::nullopt;
  return update->slot->reason;
}

bool Updates::any_finish_failed() const {
  for (const auto& [address, update] : active_) {
    if (luo::finish_failed(*update.slot)) return true;
  }
  return false;
}

}  // namespace outlive::luo
