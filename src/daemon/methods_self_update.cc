// UpdateOutlived and FinalizeFormat: outlived's own replacement.
#include <unistd.h>

#include "daemon/device.h"
#include "daemon/host_update.h"
#include "daemon/ledger.h"
#include "daemon/methods.h"
#include "daemon/self_update.h"
#include "daemon/self_update_call.h"

namespace outlive::daemon {

using wire::Json;

Result<std::optional<Json>> Methods::update_outlived(const luo::Caller& caller,
                                                     const Json& parameters, Waiting& waiting) {
  const SelfUpdateCall call = TRY(self_update_call(caller.uid, parameters));
  const wire::RequestId& request = call.request;
  waiting.what = Waiting::For::kSelfUpdate;
  waiting.request = request;
  SelfUpdate& self = *parts_.self_update;
  if (const auto outcome = self.outcome_of(request)) {
    Json result = TRY(self_update_result(*outcome, self.takeover()));
    return std::optional(std::move(result));
  }
  if (!self.is_current(request) && parts_.host_update->under_way()) {
    return fail(EBUSY, "an update of the host is going on, and with it one of outlived");
  }
  if (!self.is_current(request) && device_.is_paused()) {
    return fail(EBUSY, "a kexec is going on: what is frozen for it would be served again");
  }
  if (!self.is_current(request)) TRY(self.begin(request, call.binary, call.force));
  return std::optional<Json>();
}

Result<std::optional<Json>> Methods::finalize_format(const luo::Caller& caller,
                                                     const Json& parameters, Waiting&) {
  TRY(wire::only_params(parameters, {"request_id"}));
  TRY(wire::request_id_param(parameters));
  if (caller.uid != 0 && caller.uid != geteuid()) {
    return fail(EPERM, "only root and outlived's own user may change its format");
  }
  const std::string before = parts_.records().format().compatible();
  TRY(parts_.ledger->finalize(parts_.now()));
  const std::string after = parts_.records().format().compatible();
  return std::optional(Json{{"format", after}, {"changed", after != before}});
}

std::optional<Answer> Methods::self_update_news(const Waiting& waiting) {
  const SelfUpdate& self = *parts_.self_update;
  if (const auto outcome = self.outcome_of(waiting.request)) {
    Result<Json> result = self_update_result(*outcome, self.takeover());
    if (result) return Answer{wire::reply_text(*result), true};
    return Answer{refused_text(result.error()), true};
  }
  if (const Error* failed = self.failure_of(waiting.request)) {
    return Answer{refused_text(*failed), true};
  }
  return Answer{
      wire::continues_text(
          Json{{"step", self.step()}, {"elapsed_us", (parts_.now() - waiting.since_ns) / 1000}}),
      false};
}

}  // namespace outlive::daemon
