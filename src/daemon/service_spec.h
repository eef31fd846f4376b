// How a service is started: what the record keeps (as JSON bytes in the arena) and what an update
// takes over for what the operator doesn't change.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace outlive::daemon {

struct ServiceSpec {
  std::vector<std::string> argv;
  std::vector<std::string> env;  // "NAME=VALUE"
  std::string cwd = "/";
  std::vector<std::string> listen;  // "[NAME=]tcp:HOST:PORT", ...
  std::string restart = "on-failure";
  std::string policy = "fail";
  bool notify = false;
  uint64_t ready_timeout_ms = 0;  // 0: the configured default
  uint64_t stop_timeout_ms = 10'000;
  uint64_t freeze_timeout_ms = 0;    // 0: the configured default
  std::optional<uint64_t> lease_ms;  // 0: for ever; nothing: the configured default
  bool configured = false;           // from outlive.toml
};

// EINVAL: no service may be called so.
Status check_service_name(std::string_view name);
// EINVAL: no command, an unknown restart or policy, an environment without '=', a bad address.
Status check_spec(const ServiceSpec& spec);
std::string spec_text(const ServiceSpec& spec);
// Of a record. EUCLEAN.
Result<ServiceSpec> parse_spec(std::string_view text);

}  // namespace outlive::daemon
