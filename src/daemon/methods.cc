#include "daemon/methods.h"

#include <time.h>
#include <unistd.h>

#include "abi/orchestrator_varlink.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/utc_time.h"
#include "daemon/device.h"
#include "daemon/ledger.h"
#include "daemon/self_update.h"
#include "daemon/self_update_call.h"

namespace outlive::daemon {

using wire::Json;

std::string time_text(uint64_t realtime_ns) {
  return utc_text(realtime_ns, 3);
}

const char* name_of(abi::ServiceState state) {
  static constexpr const char* kNames[] = {"stopped",  "starting", "running",
                                           "stopping", "failed",   "backoff"};
  const auto index = static_cast<size_t>(state);
  return index < std::size(kNames) ? kNames[index] : "invalid";
}

const char* name_of(abi::SurvivalClass survival) {
  static constexpr const char* kNames[] = {"none", "service", "daemon", "host", "kernel"};
  const auto index = static_cast<size_t>(survival);
  return index < std::size(kNames) ? kNames[index] : "invalid";
}

const char* result_of(const abi::UpdateSlot& update) {
  switch (static_cast<abi::UpdateStep>(update.step)) {
    case abi::UpdateStep::kCancelled:
      return "rolled back";
    case abi::UpdateStep::kFinish:
    case abi::UpdateStep::kRetire:
    case abi::UpdateStep::kDone:
      return "updated";
    default:
      return luo::finish_failed(update) ? "finish failed" : "running";
  }
}

bool is_committed(const abi::UpdateSlot& update) {
  const std::string_view result = result_of(update);
  return result == "updated" || result == "finish failed";
}

Methods::Method Methods::find(std::string_view name) {
  static constexpr std::pair<std::string_view, Method> kMethods[] = {
      {"Status", &Methods::status},
      {"Stop", &Methods::stop},
      {"Run", &Methods::run},
      {"Update", &Methods::update},
      {"Rollback", &Methods::rollback},
      {"UpdateOutlived", &Methods::update_outlived},
      {"FinalizeFormat", &Methods::finalize_format},
      {"Plan", &Methods::plan},
      {"ListSessions", &Methods::list_sessions},
      {"ListFiles", &Methods::list_files},
      {"ListServices", &Methods::list_services},
      {"ListRegions", &Methods::list_regions},
      {"ListUpdates", &Methods::list_updates},
      {"EndSession", &Methods::end_session},
      {"Reboot", &Methods::reboot},
      {"Kexec", &Methods::kexec},
      {"Timeline", &Methods::timeline},
      {"Log", &Methods::log},
#ifdef OUTLIVE_KHO_DEBUG
      {"KhoDump", &Methods::kho_dump},
      {"KhoSave", &Methods::kho_save},
#endif
      {"Fsck", &Methods::fsck},
      {"Reload", &Methods::reload},
      {"Metrics", &Methods::metrics},
  };
  for (const auto& [known, method] : kMethods) {
    if (name == known) return method;
  }
  return nullptr;
}

std::optional<Answer> Methods::handle(const luo::Caller& caller, const wire::VarlinkCall& call,
                                      Waiting& waiting) {
  static const wire::VarlinkService kAbout{"outlive",
                                           "outlived",
                                           OUTLIVE_VERSION,
                                           "",
                                           abi::kOrchestratorInterface,
                                           abi::kOrchestratorVarlink};
  if (auto text = wire::introspect(kAbout, call)) return Answer{*text, true};
  const std::string prefix = std::string(abi::kOrchestratorInterface) + ".";
  const Method method =
      call.method.starts_with(prefix) ? find(call.method.substr(prefix.size())) : nullptr;
  if (method == nullptr) return Answer{wire::method_not_found_text(call.method), true};
  if (faults_armed) FAULT_POINT(("daemon.control." + call.method.substr(prefix.size())).c_str());
  waiting.since_ns = parts_.now();
  Result<std::optional<Json>> result = (this->*method)(caller, call.parameters, waiting);
  if (!result) {
    waiting = {};
    if (method == &Methods::update_outlived || method == &Methods::reboot) {
      return Answer{refused_text(result.error()), true};
    }
    // A stop that would lose something is refused for good; other EBUSY may be tried again.
    const bool refused = method == &Methods::stop && result.error().code == EBUSY;
    return Answer{refused ? wire::error_text(abi::kErrorRefused, result.error())
                          : wire::error_text(result.error()),
                  true};
  }
  if (!*result) return std::nullopt;
  return Answer{wire::reply_text(**result), true};
}

Result<abi::ServiceSlot*> Methods::service_named(const luo::Caller& caller, std::string_view name) {
  abi::ServiceSlot* service = parts_.core.services().find(caller, name);
  if (service == nullptr) {
    return fail(ENOENT, "no service '{}': `outlive list services` shows what is there", name);
  }
  return service;
}

// Why the last update of outlived came to nothing.
static Json last_failure(const machine::Takeover& takeover) {
  const auto last = takeover.last_outcome();
  if (!last || last->result == static_cast<uint64_t>(abi::TakeoverResult::kUpdated)) return Json();
  return machine::Takeover::text_of(last->reason);
}

Result<std::optional<Json>> Methods::status(const luo::Caller& caller, const Json&, Waiting&) {
  uint64_t sessions = 0;
  uint64_t files = 0;
  uint64_t services = 0;
  bool in_progress = false;
  std::string failed;
  parts_.core.sessions().for_each([&](luo::Session& session) {
    if (!parts_.core.sessions().sees(caller, session)) return;
    ++sessions;
    files += session.files.size();
  });
  parts_.core.services().for_each([&](abi::ServiceSlot& service) {
    if (caller.owns(service.uid)) {
      ++services;
      if (const auto why = parts_.core.updates().finish_failure(service)) {
        failed += fmt::format("{}service '{}': {}", failed.empty() ? "" : "; ", service.name, *why);
      }
    }
    in_progress = in_progress || luo::in_progress(parts_.core.updates().state(service));
  });
  const machine::Control& control = parts_.control;
  const std::string fd_store = parts_.store.text(parts_.records());
  return std::optional(Json{
      {"state", luo::name_of(parts_.core.state())},
      {"in_progress", in_progress},
      {"live_update_number", parts_.records().root().live_update_number},
      {"refused", nullptr},
      {"held", nullptr},
      {"finish_failed", failed.empty() ? Json() : Json(failed)},
      {"runtime_dir", parts_.runtime.path},
      {"version", OUTLIVE_VERSION},
      {"pid_keeper", control.keeper_pid()},
      {"pid_worker", ::getpid()},  // the keeper writes it down a moment after we have begun
      {"pid_spare", control.spare_pid()},
      {"worker_deaths", control.block().worker_deaths},
      {"format", parts_.records().format().compatible()},
      {"leaks_reclaimed", parts_.ledger->totals().folios_reclaimed},
      {"leaks_corrected", parts_.ledger->totals().tracker_corrected},
      {"orphans_closed", parts_.ledger->totals().orphans_closed},
      {"self_updates", control.block().takeover.updates},
      {"self_rollbacks", control.block().takeover.rollbacks},
      {"self_update_failed", last_failure(parts_.self_update->takeover())},
      {"uptime_us", (parts_.now() - parts_.started_ns) / 1000},
      {"sessions", sessions},
      {"files", files},
      {"services", services},
      {"arena_used", parts_.arena.used_pages() * abi::kPageSize},
      {"arena_size", parts_.arena.size()},
      {"kho_enabled", parts_.config.kho_enabled},
      {"liveupdate_enabled", parts_.config.liveupdate_enabled},
      {"confinement", parts_.confined},
      {"machine", parts_.machine},
      {"fd_store", fd_store.empty() ? Json() : Json(fd_store)},
      {"turns", parts_.turns.count()},
      {"turn_p999_us", parts_.turns.quantile_us(0.999)},
      {"turn_max_us", parts_.turns.max_us()},
      {"log", nullptr},
  });
}

Result<std::optional<Json>> Methods::stop(const luo::Caller& caller, const Json& parameters,
                                          Waiting& waiting) {
  TRY(wire::only_params(parameters, {"request_id", "service", "daemon", "force"}));
  const auto name = TRY(wire::param<std::optional<std::string>>(parameters, "service"));
  const bool daemon = TRY(wire::param<bool>(parameters, "daemon"));
  const bool force = TRY(wire::param<bool>(parameters, "force"));
  if (daemon == name.has_value()) {
    return wire::bad_param("service", "either a service is named, or daemon is true");
  }
  uint64_t files = 0;
  uint64_t sessions = 0;
  const auto count = [&](luo::Session& session) {
    if (session.slot->flags & abi::kSessionInternal) return;
    ++sessions;
    files += session.files.size();
  };
  if (daemon) {
    if (caller.uid != 0 && caller.uid != geteuid()) {
      return fail(EPERM, "only root and outlived's own user may stop it");
    }
    parts_.core.sessions().for_each(count);
    if (files != 0 && !force) {
      return fail(EBUSY, "{} files in {} sessions would be lost: --force stops all the same", files,
                  sessions);
    }
    waiting.what = Waiting::For::kStopAll;
    parts_.control.request_end();
    return std::optional<Json>(Json::object());
  }
  const Result<abi::ServiceSlot*> found = service_named(caller, *name);
  if (!found) return found.error();
  const uint64_t address = parts_.core.services().address_of(**found);
  parts_.core.sessions().for_each([&](luo::Session& session) {
    if (session.slot->service == address) count(session);
  });
  if (files != 0 && !force) {
    return fail(
        EBUSY, "service '{}': {} files in {} sessions would be lost: --force stops it all the same",
        *name, files, sessions);
  }
  waiting.what = Waiting::For::kStop;
  waiting.service = address;
  supervisor_.stop(**found);
  if (parts_.core.services().at(address) == nullptr) return std::optional<Json>(Json::object());
  return std::optional<Json>();
}

}  // namespace outlive::daemon
