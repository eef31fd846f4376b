#include "daemon/self_update_call.h"

#include <unistd.h>

#include "abi/orchestrator_varlink.h"

namespace outlive::daemon {

using machine::Takeover;
using wire::Json;

namespace {

Json optional_text(const std::string& text) {
  return text.empty() ? Json() : Json(text);
}

}  // namespace

Result<SelfUpdateCall> self_update_call(uint64_t uid, const Json& parameters) {
  TRY(wire::only_params(parameters, {"request_id", "binary", "force"}));
  const wire::RequestId request = TRY(wire::request_id_param(parameters));
  const auto binary = TRY(wire::param<std::optional<std::string>>(parameters, "binary"));
  const auto force = TRY(wire::param<std::optional<bool>>(parameters, "force"));
  if (uid != 0 && uid != geteuid()) {
    return fail(EPERM, "only root and outlived's own user may update it");
  }
  if (binary && !binary->starts_with('/')) {
    return wire::bad_param("binary", "an absolute path is expected");
  }
  return SelfUpdateCall{request, binary.value_or(""), force.value_or(false)};
}

Result<Json> self_update_result(const abi::TakeoverOutcome& outcome, const Takeover& takeover) {
  const auto result = static_cast<abi::TakeoverResult>(outcome.result);
  const std::string reason = Takeover::text_of(outcome.reason);
  if (result == abi::TakeoverResult::kRefused) {
    return fail(outcome.error != 0 ? static_cast<int>(outcome.error) : EIO, "{}", reason);
  }
  const bool updated = result == abi::TakeoverResult::kUpdated;
  return Json{{"step", nullptr},
              {"result", updated ? "updated" : "rolled back"},
              {"reason", updated ? Json() : optional_text(reason)},
              {"pause_us", outcome.pause_ns != 0 ? Json(outcome.pause_ns / 1000) : Json()},
              {"from_version", Takeover::text_of(outcome.from)},
              {"to_version", optional_text(Takeover::text_of(outcome.to))},
              {"number", takeover.block().updates},
              {"total_us", outcome.total_ns / 1000}};
}

std::string refused_text(const Error& error) {
  const bool bad_binary = error.code == ENOEXEC;
  return bad_binary ? wire::error_text(abi::kErrorRefused, error) : wire::error_text(error);
}

}  // namespace outlive::daemon
