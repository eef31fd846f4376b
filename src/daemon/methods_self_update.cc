// UpdateOutlived and FinalizeFormat: outlived's own replacement.
#include <unistd.h>

#include "daemon/host_update.h"
#include "daemon/ledger.h"
#include "daemon/methods.h"
#include "daemon/self_update.h"

namespace outlive::daemon {

using wire::Json;

namespace {

Json optional_text(const std::string& text) {
  return text.empty() ? Json() : Json(text);
}

// The last answer, or the error of one that was refused.
Result<Json> result_of(const abi::TakeoverOutcome& outcome, const SelfUpdate& self) {
  using machine::Takeover;
  const auto result = static_cast<abi::TakeoverResult>(outcome.result);
  const std::string reason = Takeover::text_of(outcome.reason);
  if (result == abi::TakeoverResult::kRefused) {
    return fail(outcome.error != 0 ? static_cast<int>(outcome.error) : EIO, "{}", reason);
  }
  const bool updated = result == abi::TakeoverResult::kUpdated;
  const abi::TakeoverBlock& block = self.takeover().block();
  return Json{{"step", nullptr},
              {"result", updated ? "updated" : "rolled back"},
              {"reason", updated ? Json() : optional_text(reason)},
              {"pause_us", outcome.pause_ns != 0 ? Json(outcome.pause_ns / 1000) : Json()},
              {"from_version", Takeover::text_of(outcome.from)},
              {"to_version", optional_text(Takeover::text_of(outcome.to))},
              {"number", block.updates},
              {"total_us", outcome.total_ns / 1000}};
}

}  // namespace

Result<std::optional<Json>> Methods::update_outlived(const luo::Caller& caller,
                                                     const Json& parameters, Waiting& waiting) {
  TRY(wire::only_params(parameters, {"request_id", "binary", "force"}));
  const wire::RequestId request = TRY(wire::request_id_param(parameters));
  const auto binary = TRY(wire::param<std::optional<std::string>>(parameters, "binary"));
  const auto force = TRY(wire::param<std::optional<bool>>(parameters, "force"));
  if (caller.uid != 0 && caller.uid != geteuid()) {
    return fail(EPERM, "only root and outlived's own user may update it");
  }
  if (binary && !binary->starts_with('/')) {
    return wire::bad_param("binary", "an absolute path is expected");
  }
  waiting.what = Waiting::For::kSelfUpdate;
  waiting.request = request;
  SelfUpdate& self = *parts_.self_update;
  if (const auto outcome = self.outcome_of(request)) {
    Json result = TRY(result_of(*outcome, self));
    return std::optional(std::move(result));
  }
  if (!self.is_current(request) && parts_.host_update->under_way()) {
    return fail(EBUSY, "an update of the host is going on, and with it one of outlived");
  }
  if (!self.is_current(request))
    TRY(self.begin(request, binary.value_or(""), force.value_or(false)));
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
    Result<Json> result = result_of(*outcome, self);
    if (result) return Answer{wire::reply_text(*result), true};
    return Answer{refused_text(result.error()), true};
  }
  return Answer{
      wire::continues_text(
          Json{{"step", self.step()}, {"elapsed_us", (parts_.now() - waiting.since_ns) / 1000}}),
      false};
}

}  // namespace outlive::daemon
