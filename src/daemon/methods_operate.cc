// Reload, Metrics: for operators.
#include <unistd.h>

#include "daemon/methods.h"
#include "daemon/reloader.h"

namespace outlive::daemon {

using wire::Json;

namespace {

Status only_operators(const luo::Caller& caller, std::string_view what) {
  if (caller.uid == 0 || caller.uid == geteuid()) return {};
  return fail(EPERM, "only root and outlived's own user may {}", what);
}

}  // namespace

// The same file again changes nothing, so the request id has nothing to guard.
Result<std::optional<Json>> Methods::reload(const luo::Caller& caller, const Json& parameters,
                                            Waiting&) {
  TRY(wire::only_params(parameters, {"request_id"}));
  TRY(wire::request_id_param(parameters));
  TRY(only_operators(caller, "reload its configuration"));
  const Reloader::Report report = TRY(parts_.reloader->reload());
  return std::optional(
      Json{{"path", report.path}, {"applied", report.applied}, {"pending", report.pending}});
}

Result<std::optional<Json>> Methods::metrics(const luo::Caller& caller, const Json&, Waiting&) {
  TRY(only_operators(caller, "see the metrics: they tell of everybody"));
  return std::optional(Json{{"text", parts_.metrics()}});
}

}  // namespace outlive::daemon
