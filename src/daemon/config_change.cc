#include "daemon/config_change.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <set>

namespace outlive::daemon {
namespace {

std::string text_of(uint64_t value) {
  return fmt::to_string(value);
}
// A time that the file has in milliseconds.
struct Milliseconds {
  uint64_t ns;
  bool operator==(const Milliseconds&) const = default;
};
std::string text_of(Milliseconds time) {
  return fmt::to_string(time.ns / 1'000'000);
}
std::string text_of(bool value) {
  return value ? "true" : "false";
}
std::string text_of(const std::string& value) {
  return fmt::format("\"{}\"", value);
}
std::string text_of(const std::optional<std::string>& value) {
  return value ? text_of(*value) : "default";
}
std::string text_of(const std::vector<std::string>& value) {
  std::vector<std::string> words;
  for (const std::string& one : value) words.push_back(text_of(one));
  return fmt::format("[{}]", fmt::join(words, ", "));
}
std::string text_of(LogLevel level) {
  static constexpr const char* kNames[] = {"?",       "?",      "?",    "error",
                                           "warning", "notice", "info", "debug"};
  return text_of(std::string(kNames[static_cast<size_t>(level) % std::size(kNames)]));
}

std::string format_of(const Config& config) {
  return config.newest_format ? "newest" : "compatible";
}

// A region or a service of this name, or nullptr.
template <typename T>
const T* named(const std::vector<T>& list, const std::string& name) {
  const auto found =
      std::find_if(list.begin(), list.end(), [&](const T& one) { return one.name == name; });
  return found == list.end() ? nullptr : &*found;
}

class Comparison {
 public:
  Comparison(const Config& in_force, Config wanted) : old_(in_force) {
    change_.config = std::move(wanted);
  }
  void all();
  ConfigChange take() { return std::move(change_); }

 private:
  // A value that takes effect as soon as it is read.
  template <typename T>
  void live(std::string_view key, const T& before, const T& now) {
    if (now != before) change_.applied.push_back(line(key, before, now));
  }
  void live_ms(std::string_view key, uint64_t before, uint64_t now) {
    live(key, Milliseconds{before}, Milliseconds{now});
  }
  // One that only a start reads.
  template <typename T>
  void at_start(std::string_view key, const T& before, T& now) {
    if (now != before) change_.refused.push_back(line(key, before, now));
    now = before;
  }
  template <typename T>
  static std::string line(std::string_view key, const T& before, const T& now) {
    return fmt::format("{}: {} -> {}", key, text_of(before), text_of(now));
  }
  // `section` and what follows the names of its keys.
  void limits(const std::string& section, const char* each, const luo::Limits& before,
              const luo::Limits& now);
  void quotas();
  void grants();
  void times(const luo::UpdateTimes& before, const luo::UpdateTimes& now);
  void takeover(const machine::TakeoverOptions& before, const machine::TakeoverOptions& now);
  void regions();
  void services();

  const Config& old_;
  ConfigChange change_;
};

// In each of the following the names on the left are all that the struct has: one that is added to
// it doesn't compile, until it is compared here.

void Comparison::limits(const std::string& section, const char* each, const luo::Limits& before,
                        const luo::Limits& now) {
  const auto& [sessions, files, connections, subtrees, subtree_bytes, updates, services,
               arena_bytes] = now;
  static_cast<void>(updates);  // no key
  const auto key = [&](const char* name) { return fmt::format("{} {}{}", section, name, each); };
  live(key("sessions"), before.sessions, sessions);
  live(key("files"), before.files, files);
  live(key("connections"), before.connections, connections);
  live(key("subtrees"), before.subtrees, subtrees);
  live(key("subtree-bytes"), before.subtree_bytes, subtree_bytes);
  live(key("services"), before.services, services);
  live(key("arena-bytes"), before.arena_bytes, arena_bytes);
}

void Comparison::quotas() {
  std::set<uint64_t> uids;
  for (const auto& [uid, one] : old_.quotas) uids.insert(uid);
  for (const auto& [uid, one] : change_.config.quotas) uids.insert(uid);
  for (const uint64_t uid : uids) {
    limits(fmt::format("[quota.{}]", uid), "", old_.limits_of(uid), change_.config.limits_of(uid));
  }
}

void Comparison::grants() {
  const auto of = [](const Config& config) {
    std::map<std::string, luo::Grant> all;
    for (const luo::Grant& one : config.grants) all[one.name + (one.is_prefix ? "*" : "")] = one;
    return all;
  };
  std::map<std::string, luo::Grant> before = of(old_);
  std::map<std::string, luo::Grant> wanted = of(change_.config);
  std::set<std::string> names;
  for (const auto& [name, one] : before) names.insert(name);
  for (const auto& [name, one] : wanted) names.insert(name);
  for (const std::string& name : names) {
    const auto tell = [&](const char* key, auto get) {
      const std::string then = before.contains(name) ? get(before[name]) : "none";
      const std::string now = wanted.contains(name) ? get(wanted[name]) : "none";
      if (then == now) return;
      change_.applied.push_back(fmt::format("[grant.{}] {}: {} -> {}", name, key, then, now));
    };
    tell("owner", [](const luo::Grant& one) { return fmt::to_string(one.owner); });
    tell("uids",
         [](const luo::Grant& one) { return fmt::format("[{}]", fmt::join(one.uids, ", ")); });
    tell("gids",
         [](const luo::Grant& one) { return fmt::format("[{}]", fmt::join(one.gids, ", ")); });
  }
}

void Comparison::times(const luo::UpdateTimes& before, const luo::UpdateTimes& now) {
  const auto& [ready, prepare, freeze, adopt, finish, retire, kexec, attempts] = now;
  static_cast<void>(kexec);  // no key
  live_ms("[update] prepare-timeout-ms", before.prepare, prepare);
  live_ms("[update] freeze-timeout-ms", before.freeze, freeze);
  live_ms("[update] adopt-timeout-ms", before.adopt, adopt);
  live_ms("[update] ready-timeout-ms", before.ready, ready);
  live_ms("[update] finish-timeout-ms", before.finish, finish);
  live_ms("[update] retire-timeout-ms", before.retire, retire);
  live("[update] attempts", before.attempts, attempts);
}

void Comparison::takeover(const machine::TakeoverOptions& before,
                          const machine::TakeoverOptions& now) {
  const auto& [argv, rehearsal, stop, ready, probation, most_faults] = now;
  static_cast<void>(argv), static_cast<void>(most_faults);  // no keys
  live_ms("[takeover] rehearsal-timeout-ms", before.rehearsal_timeout_ns, rehearsal);
  live_ms("[takeover] stop-timeout-ms", before.stop_timeout_ns, stop);
  live_ms("[takeover] ready-timeout-ms", before.ready_timeout_ns, ready);
  live_ms("[takeover] probation-ms", before.probation_ns, probation);
}

void Comparison::all() {
  auto& [runtime_dir, state_dir, log_level, kho_enabled, newest_format, arena_max, reserve_mem,
         liveupdate_enabled, machine_kind, fd_store, on_incoming_failure, on_finish_failure,
         reboot_command, reboot_timeout_ns, fds, worker_deaths, worker_timeout, lookup_timeout,
         confine, worker_share, lease_ns, control_connections, control_connections_per_uid,
         default_limits, quotas_of, granted, update_times, takeover_options, takeover_tries,
         metrics_listen, fleet_report, fleet_timeout, fleet_try, services_of] = change_.config;
  at_start("[outlived] runtime-dir", old_.runtime_dir, runtime_dir);
  at_start("[outlived] state-dir", old_.state_dir, state_dir);
  live("[outlived] log-level", old_.log_level, log_level);
  at_start("[kho] enabled", old_.kho_enabled, kho_enabled);
  at_start("[kho] arena-max", old_.arena_max, arena_max);
  live("[kho] format", format_of(old_), format_of(change_.config));
  static_cast<void>(newest_format), static_cast<void>(reserve_mem);
  regions();
  at_start("[machine] kind", old_.machine, machine_kind);
  at_start("[machine] fd-store", old_.fd_store, fd_store);
  at_start("[liveupdate] enabled", old_.liveupdate_enabled, liveupdate_enabled);
  live("[liveupdate] on-incoming-failure", old_.on_incoming_failure, on_incoming_failure);
  live("[liveupdate] on-finish-failure", old_.on_finish_failure, on_finish_failure);
  live("[liveupdate] reboot-command", old_.reboot_command, reboot_command);
  live_ms("[liveupdate] reboot-timeout-ms", old_.reboot_timeout_ns, reboot_timeout_ns);
  live_ms("[liveupdate] lease-ms", old_.lease_ns, lease_ns);
  at_start("[limits] fds", old_.fds, fds);
  live("[limits] worker-deaths", old_.worker_deaths, worker_deaths);
  Milliseconds timeout{worker_timeout};
  at_start("[limits] worker-timeout-ms", Milliseconds{old_.worker_timeout}, timeout);
  worker_timeout = timeout.ns;
  live_ms("[limits] lookup-timeout-ms", old_.lookup_timeout_ns, lookup_timeout);
  live("[limits] worker-share-per-uid", old_.worker_share, worker_share);
  live("[limits] control-connections", old_.control_connections, control_connections);
  live("[limits] control-connections-per-uid", old_.control_connections_per_uid,
       control_connections_per_uid);
  limits("[limits]", "-per-uid", old_.limits, default_limits);
  static_cast<void>(quotas_of);
  quotas();
  static_cast<void>(granted);
  grants();
  at_start("[worker] confine", old_.confine, confine);
  times(old_.times, update_times);
  takeover(old_.takeover, takeover_options);
  live("[takeover] tries", old_.takeover_tries, takeover_tries);
  live("[metrics] listen", old_.metrics_listen, metrics_listen);
  live("[fleet] report", old_.fleet_report, fleet_report);
  live_ms("[fleet] report-timeout-ms", old_.fleet_timeout_ns, fleet_timeout);
  live_ms("[fleet] try-timeout-ms", old_.fleet_try_ns, fleet_try);
  static_cast<void>(services_of);
  services();
}

void Comparison::regions() {
  std::vector<RegionConfig> in_force = old_.regions;
  for (const RegionConfig& one : change_.config.regions) {
    const RegionConfig* before = named(old_.regions, one.name);
    if (before == nullptr) {
      change_.new_regions.push_back(one);
      change_.applied.push_back(fmt::format("[kho] reserve-mem: '{}' is reserved", one.name));
      in_force.push_back(one);
    } else if (before->size != one.size || before->align != one.align) {
      change_.refused.push_back(
          fmt::format("[kho] reserve-mem: '{}' has {} bytes", one.name, before->size));
    }
  }
  for (const RegionConfig& one : old_.regions) {
    if (named(change_.config.regions, one.name) != nullptr) continue;
    change_.refused.push_back(fmt::format("[kho] reserve-mem: '{}' is reserved", one.name));
  }
  change_.config.regions = std::move(in_force);
}

void Comparison::services() {
  for (const ServiceConfig& one : change_.config.services) {
    const ServiceConfig* before = named(old_.services, one.name);
    if (before == nullptr) {
      change_.new_services.push_back(one.name);
    } else if (spec_text(before->spec) != spec_text(one.spec)) {
      change_.changed_services.push_back(one.name);
    }
  }
  for (const ServiceConfig& one : old_.services) {
    if (named(change_.config.services, one.name) != nullptr) continue;
    change_.pending.push_back(fmt::format(
        "service '{}' is configured no more: it is left running, `outlive stop {}` ends it",
        one.name, one.name));
  }
}

}  // namespace

ConfigChange compare(const Config& in_force, Config wanted) {
  Comparison comparison(in_force, std::move(wanted));
  comparison.all();
  return comparison.take();
}

}  // namespace outlive::daemon
