#include "daemon/config_change.h"

#include <algorithm>

namespace outlive::daemon {
namespace {

constexpr const char* kAtStart = "when outlived is started anew";

constexpr uint64_t kMs = 1'000'000;  // of ns

std::string text_of(uint64_t value) {
  return fmt::to_string(value);
}
// A time that the file has in milliseconds.
struct Milliseconds {
  uint64_t& ns;
  bool operator==(const Milliseconds& other) const { return ns == other.ns; }
  Milliseconds& operator=(const Milliseconds& other) {
    ns = other.ns;
    return *this;
  }
};
std::string text_of(const Milliseconds& time) {
  return fmt::to_string(time.ns / kMs);
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
std::string text_of(LogLevel level) {
  static constexpr const char* kNames[] = {"?",       "?",      "?",    "error",
                                           "warning", "notice", "info", "debug"};
  return text_of(std::string(kNames[static_cast<size_t>(level) % std::size(kNames)]));
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
  // A value that takes effect as soon as it is read.
  template <typename T>
  void live(const char* key, T get) {
    auto&& now = get(change_.config);
    auto&& before = get(const_cast<Config&>(old_));
    if (now == before) return;
    change_.applied.push_back(fmt::format("{}: {} -> {}", key, text_of(before), text_of(now)));
  }
  void live_ms(const char* key, uint64_t luo::UpdateTimes::*time) {
    const uint64_t now = change_.config.times.*time / kMs;
    const uint64_t before = old_.times.*time / kMs;
    if (now != before) change_.applied.push_back(fmt::format("{}: {} -> {}", key, before, now));
  }
  // One that only a start reads.
  template <typename T>
  void at_start(const char* key, T get) {
    auto&& now = get(change_.config);
    auto&& before = get(const_cast<Config&>(old_));
    if (now == before) return;
    change_.pending.push_back(
        fmt::format("{}: {} -> {}: {}", key, text_of(before), text_of(now), kAtStart));
    now = before;
  }
  void regions();
  void services();
  ConfigChange take() { return std::move(change_); }

 private:
  const Config& old_;
  ConfigChange change_;
};

void Comparison::regions() {
  std::vector<RegionConfig> in_force = old_.regions;
  for (const RegionConfig& one : change_.config.regions) {
    const RegionConfig* before = named(old_.regions, one.name);
    if (before == nullptr) {
      change_.new_regions.push_back(one);
      change_.applied.push_back(fmt::format("[kho] reserve-mem: '{}' is reserved", one.name));
      in_force.push_back(one);
    } else if (before->size != one.size || before->align != one.align) {
      change_.pending.push_back(fmt::format("[kho] reserve-mem: '{}' keeps its {} bytes: {}",
                                            one.name, before->size, kAtStart));
    }
  }
  for (const RegionConfig& one : old_.regions) {
    if (named(change_.config.regions, one.name) != nullptr) continue;
    change_.pending.push_back(
        fmt::format("[kho] reserve-mem: '{}' stays reserved: {}", one.name, kAtStart));
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
  Comparison all(in_force, std::move(wanted));
  all.at_start(
      "[outlived] runtime-dir", [](Config & c) -> auto& { return c.runtime_dir; });
  all.at_start(
      "[outlived] state-dir", [](Config & c) -> auto& { return c.state_dir; });
  all.live(
      "[outlived] log-level", [](Config & c) -> auto& { return c.log_level; });
  all.at_start(
      "[kho] enabled", [](Config & c) -> auto& { return c.kho_enabled; });
  all.at_start(
      "[kho] arena-max", [](Config & c) -> auto& { return c.arena_max; });
  all.regions();
  all.at_start(
      "[liveupdate] enabled", [](Config & c) -> auto& { return c.liveupdate_enabled; });
  all.live(
      "[liveupdate] on-incoming-failure",
      [](Config & c) -> auto& { return c.on_incoming_failure; });
  all.at_start(
      "[limits] fds", [](Config & c) -> auto& { return c.fds; });
  all.live(
      "[limits] worker-deaths", [](Config & c) -> auto& { return c.worker_deaths; });
  all.live(
      "[limits] sessions-per-uid", [](Config & c) -> auto& { return c.limits.sessions; });
  all.live(
      "[limits] files-per-uid", [](Config & c) -> auto& { return c.limits.files; });
  all.live(
      "[limits] connections-per-uid", [](Config & c) -> auto& { return c.limits.connections; });
  all.live(
      "[limits] subtrees-per-uid", [](Config & c) -> auto& { return c.limits.subtrees; });
  all.live_ms("[update] prepare-timeout-ms", &luo::UpdateTimes::prepare);
  all.live_ms("[update] freeze-timeout-ms", &luo::UpdateTimes::freeze);
  all.live_ms("[update] adopt-timeout-ms", &luo::UpdateTimes::adopt);
  all.live_ms("[update] ready-timeout-ms", &luo::UpdateTimes::ready);
  all.live_ms("[update] finish-timeout-ms", &luo::UpdateTimes::finish);
  all.live_ms("[update] retire-timeout-ms", &luo::UpdateTimes::retire);
  all.live(
      "[update] attempts", [](Config & c) -> auto& { return c.times.attempts; });
  all.live(
      "[metrics] listen", [](Config & c) -> auto& { return c.metrics_listen; });
  all.at_start("[limits] worker-timeout-ms",
               [](Config& c) { return Milliseconds{c.worker_timeout}; });
  all.at_start(
      "[worker] confine", [](Config & c) -> auto& { return c.confine; });
  all.live("[liveupdate] lease-ms", [](Config& c) { return Milliseconds{c.lease_ns}; });
  all.services();
  return all.take();
}

}  // namespace outlive::daemon
