// Run, Update, Rollback.
#include "abi/orchestrator_varlink.h"
#include "daemon/device.h"
#include "daemon/listen_address.h"
#include "daemon/methods.h"

namespace outlive::daemon {

using wire::Json;

namespace {

Json optional_text(std::string_view text) {
  return text.empty() ? Json() : Json(text);
}

bool same(const uint64_t (&slot)[2], const wire::RequestId& id) {
  return slot[0] == id.words[0] && slot[1] == id.words[1];
}

}  // namespace

// ---- Run ----------------------------------------------------------------------------------------

Result<std::optional<Json>> Methods::run(const luo::Caller& caller, const Json& parameters,
                                         Waiting& waiting) {
  TRY(wire::only_params(parameters,
                        {"request_id", "name", "argv", "env", "cwd", "listen", "restart", "notify",
                         "ready_timeout_ms", "stop_timeout_ms", "policy"}));
  const wire::RequestId request = TRY(wire::request_id_param(parameters));
  Supervisor::NewService service;
  service.name = TRY(wire::param<std::string>(parameters, "name"));
  TRY(check_service_name(service.name));
  TRY(parts_.room_in_arena(caller.uid));
  service.request_id[0] = request.words[0];
  service.request_id[1] = request.words[1];
  ServiceSpec& spec = service.spec;
  spec.argv = TRY(wire::param<std::vector<std::string>>(parameters, "argv"));
  spec.env = TRY(wire::param<std::vector<std::string>>(parameters, "env"));
  spec.cwd = TRY(wire::param<std::string>(parameters, "cwd"));
  spec.listen = TRY(wire::param<std::vector<std::string>>(parameters, "listen"));
  spec.restart = TRY(wire::param<std::string>(parameters, "restart"));
  spec.notify = TRY(wire::param<bool>(parameters, "notify"));
  spec.policy = TRY(wire::param<std::string>(parameters, "policy"));
  spec.ready_timeout_ms = TRY(wire::param<uint64_t>(parameters, "ready_timeout_ms"));
  const auto stop_ms = TRY(wire::param<uint64_t>(parameters, "stop_timeout_ms"));
  if (stop_ms != 0) spec.stop_timeout_ms = stop_ms;
  waiting.what = Waiting::For::kRun;
  waiting.request = request;
  abi::ServiceSlot* slot = parts_.core.services().find(caller, service.name);
  if (slot == nullptr || !same(slot->request_id, request)) {
    // Its start tells the observer before this returns: who waits is found by its service.
    slot = TRY(supervisor_.run(caller, std::move(service)));
  }
  waiting.service = parts_.core.services().address_of(*slot);
  const auto state = static_cast<abi::ServiceState>(slot->state);
  if (state == abi::ServiceState::kRunning) return std::optional(run_reply(*slot, waiting));
  if (state == abi::ServiceState::kFailed) {
    return fail(ECHILD, "service '{}' could not be started", slot->name);
  }
  return std::optional<Json>();
}

Json Methods::run_reply(const abi::ServiceSlot& service, const Waiting& waiting) {
  const auto state = static_cast<abi::ServiceState>(service.state);
  const bool starting = state == abi::ServiceState::kStarting;
  return Json{{"service", service.name},
              {"pid", service.current.pid},
              {"state", name_of(state)},
              {"waiting_for", starting ? Json("the service to be ready") : Json()},
              {"elapsed_us", (parts_.now() - waiting.since_ns) / 1000}};
}

std::optional<Answer> Methods::run_news(const Waiting& waiting, const abi::ServiceSlot& service) {
  switch (static_cast<abi::ServiceState>(service.state)) {
    case abi::ServiceState::kRunning:
      return Answer{wire::reply_text(run_reply(service, waiting)), true};
    case abi::ServiceState::kStarting:
      return Answer{wire::continues_text(run_reply(service, waiting)), false};
    case abi::ServiceState::kStopped:
    case abi::ServiceState::kFailed:
      break;
    default:
      return std::nullopt;
  }
  if (const Error* why = supervisor_.why_not_begun(service)) {
    return Answer{wire::error_text(fail(why->code, "service '{}': {}", service.name, why->message)),
                  true};
  }
  const Json error{{"errno", ECHILD},
                   {"message", fmt::format("service '{}' ended before it was ready: {}",
                                           service.name, supervisor_.why_ended(service))},
                   {"log", supervisor_.last_words(service, 10)}};
  return Answer{wire::error_text(abi::kErrorFailed, error), true};
}

// ---- Update and Rollback ------------------------------------------------------------------------

Result<std::optional<Json>> Methods::update(const luo::Caller& caller, const Json& parameters,
                                            Waiting& waiting) {
  TRY(wire::only_params(parameters, {"request_id", "name", "argv", "env", "cwd", "ready_timeout_ms",
                                     "freeze_timeout_ms", "policy"}));
  return start_update(caller, parameters, waiting, false);
}

Result<std::optional<Json>> Methods::rollback(const luo::Caller& caller, const Json& parameters,
                                              Waiting& waiting) {
  TRY(wire::only_params(parameters, {"request_id", "name"}));
  return start_update(caller, parameters, waiting, true);
}

Result<std::optional<Json>> Methods::start_update(const luo::Caller& caller, const Json& parameters,
                                                  Waiting& waiting, bool rollback) {
  const wire::RequestId request = TRY(wire::request_id_param(parameters));
  const std::string name = TRY(wire::param<std::string>(parameters, "name"));
  waiting.what = Waiting::For::kUpdate;
  waiting.request = request;
  waiting.rollback = rollback;
  if (name == "outlived") {
    return fail(EINVAL, "outlived is no service: UpdateOutlived replaces it");
  }
  if (const abi::UpdateSlot* known = parts_.core.updates().find_request(request.words)) {
    waiting.update = parts_.records().address_of(known);
    waiting.service = known->service;
    waiting.begun = true;
    if (std::string_view(result_of(*known)) != "running") {
      return std::optional(update_result(*known));
    }
    return std::optional<Json>();
  }
  abi::ServiceSlot* service = TRY(service_named(caller, name));
  waiting.service = parts_.core.services().address_of(*service);
  if (rollback) {
    if (service->previous_spec == 0) {
      return fail(ENOENT, "service '{}' has no previous version", name);
    }
    const std::string text =
        parts_.core.services().read_blob(service->previous_spec, service->previous_spec_size);
    waiting.spec = TRY(parse_spec(text));
  } else {
    // A configuration that was reloaded since then counts from here on.
    waiting.spec = supervisor_.configured_spec(*service).value_or(supervisor_.spec_of(*service));
    using Texts = std::optional<std::vector<std::string>>;
    const auto argv = TRY(wire::param<Texts>(parameters, "argv"));
    if (argv) waiting.spec.argv = *argv;
    const auto env = TRY(wire::param<Texts>(parameters, "env"));
    if (env) waiting.spec.env = *env;
    using Text = std::optional<std::string>;
    const auto cwd = TRY(wire::param<Text>(parameters, "cwd"));
    if (cwd) waiting.spec.cwd = *cwd;
    if (argv || env || cwd) waiting.spec.configured = false;  // an operator's own from now on
    const auto policy = TRY(wire::param<Text>(parameters, "policy"));
    if (policy) waiting.spec.policy = *policy;
    using Number = std::optional<uint64_t>;
    const auto ready = TRY(wire::param<Number>(parameters, "ready_timeout_ms"));
    if (ready) {
      waiting.spec.ready_timeout_ms = *ready;
    }
    const auto freeze = TRY(wire::param<Number>(parameters, "freeze_timeout_ms"));
    if (freeze) {
      waiting.spec.freeze_timeout_ms = *freeze;
    }
  }
  TRY(check_spec(waiting.spec));
  // Back-to-back updates queue: one that is going on is waited for.
  const bool failed = parts_.core.updates().finish_failure(*service).has_value();
  if (service->active_update != 0 && !failed) return std::optional<Json>();
  std::optional<Answer> answer = begin_update(waiting);
  static_cast<void>(answer);
  if (waiting.failed.code != 0) return waiting.failed;
  const abi::UpdateSlot* slot = parts_.core.updates().at(waiting.update);
  if (slot != nullptr && std::string_view(result_of(*slot)) != "running") {
    return std::optional(update_result(*slot));
  }
  return std::optional<Json>();
}

std::optional<Answer> Methods::begin_update(Waiting& waiting) {
  abi::ServiceSlot* service = parts_.core.services().at(waiting.service);
  if (service == nullptr) {
    waiting.failed = fail(ENOENT, "the service was stopped");
  } else if (service->active_update != 0 && !parts_.core.updates().finish_failure(*service)) {
    return std::nullopt;
  } else {
    waiting.begun = true;
    Result<abi::UpdateSlot*> begun =
        supervisor_.update(*service, waiting.spec, waiting.request.words, waiting.rollback);
    if (begun) {
      waiting.update = parts_.records().address_of(*begun);
      return std::nullopt;
    }
    waiting.failed = begun.take_error();
  }
  return Answer{wire::error_text(waiting.failed), true};
}

// Committed, and then down for good: there is no version that could say finish.
std::optional<Answer> Methods::update_lost(const abi::ServiceSlot& service) {
  const auto state = static_cast<abi::ServiceState>(service.state);
  const abi::UpdateSlot* update = parts_.core.updates().active(service);
  const bool down = state == abi::ServiceState::kFailed || state == abi::ServiceState::kStopped;
  if (!down || update == nullptr ||
      static_cast<abi::UpdateStep>(update->step) != abi::UpdateStep::kCommit) {
    return std::nullopt;
  }
  const Json error{
      {"errno", ECHILD},
      {"message",
       fmt::format(
           "service '{}': the update was committed, and then the new version ended for good "
           "({}): what it had is kept, `outlive run {}` starts a version with it",
           service.name, supervisor_.why_ended(service), service.name)},
      {"log", supervisor_.last_words(service, 10)}};
  return Answer{wire::error_text(abi::kErrorFailed, error), true};
}

std::optional<Answer> Methods::update_news(const Waiting& waiting, const abi::UpdateSlot& update,
                                           bool over) {
  if (over) return Answer{wire::reply_text(update_result(update)), true};
  return Answer{wire::continues_text(update_step(update, waiting.since_ns)), false};
}

Json Methods::update_step(const abi::UpdateSlot& update, uint64_t since_ns) {
  return Json{{"update", wire::hex_text(update.header.id)},
              {"step", luo::name_of(static_cast<abi::UpdateStep>(update.step))},
              {"state", luo::name_of(static_cast<luo::State>(update.state))},
              {"waiting_for", optional_text(parts_.core.updates().waiting_for(update))},
              {"elapsed_us", (parts_.now() - since_ns) / 1000}};
}

Json Methods::update_result(const abi::UpdateSlot& update) {
  uint64_t sessions = 0;
  uint64_t files = 0;
  parts_.core.sessions().for_each([&](luo::Session& session) {
    if (session.slot->service != update.service) return;
    if (session.slot->flags & abi::kSessionInternal) return;
    ++sessions;
    files += session.files.size();
  });
  const bool updated = is_committed(update);
  const uint64_t to = update.from_generation + (updated ? 1 : 0);
  return Json{{"update", wire::hex_text(update.header.id)},
              {"step", luo::name_of(static_cast<abi::UpdateStep>(update.step))},
              {"state", luo::name_of(static_cast<luo::State>(update.state))},
              {"result", result_of(update)},
              {"reason", optional_text(update.reason)},
              {"blackout_us", updated ? Json(update.blackout_ns / 1000) : Json()},
              {"files", files},
              {"sessions", sessions},
              {"from_generation", update.from_generation},
              {"to_generation", to},
              {"total_us", (parts_.clock.realtime_ns() - update.started_ns) / 1000}};
}

}  // namespace outlive::daemon
