#include "daemon/reloader.h"

#include <algorithm>

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "daemon/fd_store.h"
#include "daemon/ledger.h"
#include "daemon/metrics_server.h"
#include "daemon/supervisor.h"
#include "daemon/totals.h"
#include "daemon/worker.h"
#include "kho/reserve_mem.h"

namespace outlive::daemon {

using machine::load_word;
using machine::store_word;

namespace {

constexpr uint64_t kMostTries = 2;  // of a SIGHUP whose worker dies

// To a manager that started us with Type=notify-reload, which asks for the time.
void tell_reloading() {
  notify_manager(fmt::format("RELOADING=1\nMONOTONIC_USEC={}\n", system_clock().now_ns() / 1000));
}

void tell_reloaded() {
  notify_manager("READY=1\n");
}

Status reserve(kho::Arena& arena, const std::vector<RegionConfig>& regions) {
  if (regions.empty()) return {};
  kho::ReserveMem reserved = TRY(kho::ReserveMem::open(arena));
  for (const RegionConfig& one : regions) TRY(reserved.reserve(one.name, one.size, one.align));
  return {};
}

}  // namespace

Config take_config(const machine::Control& control, const WorkerInput& input) {
  const Result<std::string> text = control.kept_config();
  // The same is not read again: everybody waits for a new worker.
  if (!text || *text == input.config_text) return input.config;
  Result<Config> kept = config_of(input.options, {"(the configuration in force)", *text});
  if (!kept) {  // it was checked before it was kept
    log_error("{}: going on with what outlived was started with", kept.error().message);
    return input.config;
  }
  return compare(input.config, std::move(*kept)).config;
}

Reloader::Reloader(Parts& parts, WorkerInput& input, Supervisor& supervisor, MetricsServer& metrics)
    : parts_(parts),
      options_(input.options),
      started_text_(input.config_text),
      config_(input.config),
      supervisor_(supervisor),
      metrics_(metrics) {}

void Reloader::start() {
  if (!parts_.control.config_file().valid()) {  // another outlived was here that keeps none
    const Status kept = parts_.control.keep_config(started_text_);
    if (!kept) log_error("the configuration isn't kept: {}", kept.error().text());
  }
  tell_keeper();
  metrics_.resume();
  Result<std::optional<UniqueFd>> listener = metrics_.prepare(config_.metrics_listen);
  if (!listener) log_error("{}", listener.error().text());
  if (listener && *listener) serve_metrics(std::move(**listener));
  abi::OperatorWords& words = parts_.control.operators();
  const uint64_t number = load_word(words.config_number);
  // Once a text: what an operator has stopped since then stays so over a death of the worker.
  if (load_word(words.config_started) == number) return;
  for (const ServiceConfig& one : config_.services) {
    const Status started = supervisor_.start_configured(one);
    if (!started) log_error("service '{}': {}", one.name, started.error().message);
  }
  store_word(words.config_started, number);
}

void Reloader::serve_metrics(UniqueFd listener) {
  const Status served = metrics_.use(std::move(listener));
  if (!served) log_error("metrics: {}", served.error().text());
}

void Reloader::tick() {
  abi::OperatorWords& words = parts_.control.operators();
  const uint64_t wanted = parts_.control.reload_count();
  if (load_word(words.reload_done) == wanted) return;
  if (load_word(words.reload_tries) < kMostTries) {
    count(words.reload_tries);
    static_cast<void>(reload());  // it has said in the log how it went
  } else {
    log_error("reload: the worker died of it {} times, the configuration before goes on",
              kMostTries);
  }
  store_word(words.reload_done, wanted);
  store_word(words.reload_tries, uint64_t{0});
}

Result<Reloader::Report> Reloader::reload() {
  tell_reloading();
  Result<Report> report = try_reload();
  tell_reloaded();
  abi::MetricTotals& totals = parts_.control.operators().totals;
  if (!report) {
    count(totals.reloads_refused);
    log_error("reload refused, the configuration before goes on: {}", report.error().message);
    return report;
  }
  count(totals.reloads);
  log_notice("reloaded {}: {} changes applied, {} wait", report->path, report->applied.size(),
             report->pending.size());
  for (const std::string& line : report->applied) log_info("reload: {}", line);
  for (const std::string& line : report->pending) log_notice("reload: not applied: {}", line);
  return report;
}

Result<Reloader::Report> Reloader::try_reload() {
  const ConfigText text = TRY(read_config_text(options_));
  Config wanted = TRY(config_of(options_, text));
  const ConfigChange change = compare(config_, std::move(wanted));
  if (!change.refused.empty()) {
    return fail(EINVAL, "{}: nothing is changed, for only a start of outlived reads {}", text.path,
                fmt::join(change.refused, "; "));
  }
  TRY(reserve(parts_.arena, change.new_regions).context("{}", text.path));
  std::optional<UniqueFd> listener =
      TRY(metrics_.prepare(change.config.metrics_listen).context("{}", text.path));
  FAULT_POINT("daemon.reload");
  TRY(parts_.control.keep_config(text.text));
  // Beyond this point the new configuration is in force.
  FAULT_POINT("daemon.reloaded");
  if (listener) serve_metrics(std::move(*listener));
  Report report{text.path, change.applied, change.pending};
  apply(change, report);
  return report;
}

void Reloader::apply(const ConfigChange& change, Report& report) {
  config_ = change.config;
  set_log_level(config_.log_level);
  parts_.core.context().limits = config_.limits;
  parts_.core.updates().times = config_.times;
  parts_.throttle.set_share(config_.worker_share);
  parts_.opener.set_timeout(config_.lookup_timeout_ns);
  parts_.core.context().limits_by_uid = config_.limits_by_uid();
  parts_.core.context().grants = {};
  for (const luo::Grant& grant : config_.grants) parts_.core.context().grants.add(grant);
  if (config_.newest_format) {
    const Status finalized = parts_.ledger->finalize(parts_.now());
    if (!finalized) {
      report.pending.push_back(fmt::format("[kho] format: {}", finalized.error().message));
    }
  }
  tell_keeper();
  apply_services(change, report);
  abi::OperatorWords& words = parts_.control.operators();
  store_word(words.config_started, load_word(words.config_number));
}

void Reloader::tell_keeper() {
  abi::OperatorWords& words = parts_.control.operators();
  abi::KeeperWords& keeper = words.keeper;
  store_word(keeper.worker_deaths, config_.worker_deaths);
  store_word(keeper.log_level, static_cast<uint64_t>(config_.log_level));
  store_word(keeper.rehearsal_timeout_ns, config_.takeover.rehearsal_timeout_ns);
  store_word(keeper.stop_timeout_ns, config_.takeover.stop_timeout_ns);
  store_word(keeper.ready_timeout_ns, config_.takeover.ready_timeout_ns);
  store_word(keeper.probation_ns, config_.takeover.probation_ns);
  store_word(keeper.number, load_word(words.config_number));
  parts_.control.wake_keeper();
}

void Reloader::apply_services(const ConfigChange& change, Report& report) {
  for (const ServiceConfig& one : config_.services) {
    const bool added = std::ranges::count(change.new_services, one.name) != 0;
    const bool changed = std::ranges::count(change.changed_services, one.name) != 0;
    if (!added && !changed) continue;
    switch (supervisor_.presence(one.name)) {
      case Supervisor::Presence::kConfigured:
        report.pending.push_back(
            fmt::format("service '{}' goes on as it was started: at its next update (`outlive "
                        "update {}`)",
                        one.name, one.name));
        break;
      case Supervisor::Presence::kOwn:
        report.pending.push_back(
            fmt::format("service '{}' was started or updated by hand, and goes on so: when it was "
                        "stopped and outlived is started anew",
                        one.name));
        break;
      case Supervisor::Presence::kNone:
        if (!added) {
          report.pending.push_back(
              fmt::format("service '{}' was stopped: when outlived is started anew", one.name));
          break;
        }
        [[fallthrough]];
      case Supervisor::Presence::kEnded: {
        const Status started = supervisor_.start_configured(one);
        auto& list = started ? report.applied : report.pending;
        list.push_back(started ? fmt::format("service '{}': started", one.name)
                               : fmt::format("service '{}' could not be started: {}", one.name,
                                             started.error().message));
        break;
      }
    }
  }
}

}  // namespace outlive::daemon
