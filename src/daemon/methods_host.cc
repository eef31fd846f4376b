// The host: Reboot without a reboot of the machine (luo/host_update.cc).
#include <unistd.h>

#include <algorithm>

#include "base/log.h"
#include "daemon/methods.h"

namespace outlive::daemon {

using wire::Json;

// Begins, or with the request id of one that has begun tells how far it is: who waits asks again.
Result<std::optional<Json>> Methods::reboot(const luo::Caller& caller, const Json& parameters,
                                            Waiting&) {
  TRY(wire::only_params(parameters, {"request_id"}));
  const wire::RequestId request = TRY(wire::request_id_param(parameters));
  if (caller.uid != 0 && caller.uid != geteuid()) {
    return fail(EPERM, "only root and outlived's own user may replace all of user space");
  }
  if (!parts_.config.liveupdate_enabled) {
    return fail(EOPNOTSUPP, "live updates are off ([liveupdate] enabled = false)");
  }
  std::vector<const abi::UpdateSlot*> updates;
  parts_.records().for_each<abi::UpdateSlot>([&](const abi::UpdateSlot& update) {
    if (update.request_id[0] == request.words[0] && update.request_id[1] == request.words[1]) {
      updates.push_back(&update);
    }
  });
  if (updates.empty()) {
    const auto begun = TRY(parts_.core.updates().begin_host(request.words));
    updates.assign(begun.begin(), begun.end());
  }
  std::ranges::sort(updates, {}, [](const auto* one) { return one->header.id; });
  Json list = Json::array();
  for (const abi::UpdateSlot* update : updates) list.push_back(update_summary(*update));
  return std::optional(Json{{"state", luo::name_of(parts_.core.state())},
                            {"live_update_number", parts_.records().root().live_update_number},
                            {"services", std::move(list)}});
}

}  // namespace outlive::daemon
