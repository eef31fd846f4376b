// The host: Reboot without a reboot of the machine (luo/host_update.cc).
#include <unistd.h>

#include <algorithm>

#include "base/log.h"
#include "daemon/host_update.h"
#include "daemon/methods.h"

namespace outlive::daemon {

using wire::Json;

// Begins, or with the request id of one that has begun tells how far it is: who waits asks again.
Result<std::optional<Json>> Methods::reboot(const luo::Caller& caller, const Json& parameters,
                                            Waiting&) {
  TRY(wire::only_params(parameters, {"request_id", "binary", "force", "keep_outlived"}));
  HostUpdate::Options options;
  options.request = TRY(wire::request_id_param(parameters));
  const wire::RequestId& request = options.request;
  const auto binary = TRY(wire::param<std::optional<std::string>>(parameters, "binary"));
  const auto force = TRY(wire::param<std::optional<bool>>(parameters, "force"));
  const auto keep = TRY(wire::param<std::optional<bool>>(parameters, "keep_outlived"));
  options.binary = binary.value_or("");
  options.force = force.value_or(false);
  options.keep_outlived = keep.value_or(false);
  if (binary && !binary->starts_with('/')) {
    return wire::bad_param("binary", "an absolute path is expected");
  }
  if (caller.uid != 0 && caller.uid != geteuid()) {
    return fail(EPERM, "only root and outlived's own user may replace all of user space");
  }
  if (!parts_.config.liveupdate_enabled) {
    return fail(EOPNOTSUPP, "live updates are off ([liveupdate] enabled = false)");
  }
  std::vector<const abi::UpdateSlot*> updates;
  const auto look = [&] {
    parts_.records().for_each<abi::UpdateSlot>([&](const abi::UpdateSlot& update) {
      if (update.request_id[0] == request.words[0] && update.request_id[1] == request.words[1]) {
        updates.push_back(&update);
      }
    });
  };
  look();
  if (updates.empty()) {
    TRY(parts_.host_update->advance(options));
    look();
  }
  std::ranges::sort(updates, {}, [](const auto* one) { return one->header.id; });
  Json list = Json::array();
  for (const abi::UpdateSlot* update : updates) list.push_back(update_summary(*update));
  return std::optional(Json{{"state", luo::name_of(parts_.core.state())},
                            {"live_update_number", parts_.records().root().live_update_number},
                            {"services", std::move(list)},
                            {"outlived", parts_.host_update->outlived(request, updates)}});
}

}  // namespace outlive::daemon
