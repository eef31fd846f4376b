// The configuration: outlive.toml(5), overridden by the command line.
//
// An unknown key, a wrong type or a value out of range is an Error that names file, line and key:
// nothing is guessed. `outlived --check-config FILE` only checks.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/result.h"
#include "daemon/service_spec.h"
#include "luo/context.h"
#include "luo/update.h"
#include "machine/process/keeper.h"

namespace outlive::daemon {

struct RegionConfig {  // reserve_mem NAME SIZE ALIGN
  std::string name;
  uint64_t size = 0;
  uint64_t align = 0;
};

struct ServiceConfig {
  std::string name;
  ServiceSpec spec;
};

struct Config {
  std::optional<std::string> runtime_dir;
  std::optional<std::string> state_dir;
  LogLevel log_level = LogLevel::kInfo;
  bool kho_enabled = true;
  bool newest_format = false;  // [kho] format = "newest"
  uint64_t arena_max = uint64_t{1} << 30;
  std::vector<RegionConfig> regions;
  bool liveupdate_enabled = true;
  std::string machine = "auto";              // auto, process, kernel
  std::string fd_store = "auto";             // auto, on, off: the service manager's
  std::string on_incoming_failure = "hold";  // or fresh, reboot
  std::string on_finish_failure = "hold";    // or reboot
  std::vector<std::string> reboot_command;
  uint64_t reboot_timeout_ns = 60'000'000'000;
  uint64_t fds = 0;                            // 0: the hard limit
  uint64_t worker_deaths = 10;                 // more within 10 s: hold mode
  uint64_t worker_timeout = 10'000'000'000;    // ns
  uint64_t lookup_timeout_ns = 5'000'000'000;  // of a path that a client gives
  bool confine = true;                         // [worker] confine
  uint64_t worker_share = 5;  // percent of its time that one user may have among others
  uint64_t lease_ns = 86'400'000'000'000;     // of sessions that nobody holds; 0: for ever
  uint64_t control_connections = 256;         // of all users
  uint64_t control_connections_per_uid = 32;  // not of operators
  luo::Limits limits{1024, 8192, 256, 64, 1 << 20, 64, 64, 0};
  std::map<uint64_t, luo::Limits> quotas;  // of users that have others: [quota.UID]
  std::vector<luo::Grant> grants;          // [grant.NAME]
  // Operators may have all of the arena, if their own quota doesn't say otherwise.
  luo::Limits limits_of(uint64_t uid) const;
  // By uid, where they are not `limits`.
  std::map<uint64_t, luo::Limits> limits_by_uid() const;
  luo::UpdateTimes times;
  machine::TakeoverOptions takeover;
  uint64_t takeover_tries = 3;  // of one binary that failed; then --force is needed
  std::string metrics_listen;   // "": no listener
  std::string fleet_report;     // an address (fleet_address.h); "": to nobody
  uint64_t fleet_timeout_ns = 60'000'000'000;
  uint64_t fleet_try_ns = 3'000'000'000;
  std::vector<ServiceConfig> services;
};

// Who is not held to what keeps users from each other: root and outlived's own user.
bool is_operator(uint64_t uid);
// `path` is for errors.
Result<Config> parse_config(std::string_view text, const std::string& path);
// What no single key shows: kho off with liveupdate on is refused, naming both keys.
Status check_config(const Config& config);
// "64M" and the like: bytes. EINVAL.
Result<uint64_t> parse_size(std::string_view text);

}  // namespace outlive::daemon
