#include "daemon/service_spec.h"

#include "daemon/listen_address.h"
#include "luo/session.h"
#include "wire/varlink.h"

namespace outlive::daemon {

using wire::Json;

Status check_service_name(std::string_view name) {
  if (name != "outlived") return luo::check_name(name);
  return fail(EINVAL, "no service may be called outlived: `outlive update outlived` means itself");
}

Status check_spec(const ServiceSpec& spec) {
  if (spec.argv.empty() || spec.argv[0].empty()) return fail(EINVAL, "the command is empty");
  if (spec.restart != "no" && spec.restart != "on-failure" && spec.restart != "always") {
    return fail(EINVAL, "restart '{}': no, on-failure or always is expected", spec.restart);
  }
  if (spec.policy != "fail" && spec.policy != "skip" && spec.policy != "degrade") {
    return fail(EINVAL, "policy '{}': fail, skip or degrade is expected", spec.policy);
  }
  for (const std::string& variable : spec.env) {
    const size_t equals = variable.find('=');
    if (equals == std::string::npos || equals == 0) {
      return fail(EINVAL, "environment: '{}' is not NAME=VALUE", variable);
    }
  }
  if (spec.cwd.empty() || spec.cwd[0] != '/') {
    return fail(EINVAL, "working directory '{}' is not absolute", spec.cwd);
  }
  for (const std::string& address : spec.listen) TRY(parse_listen_address(address));
  return {};
}

std::string spec_text(const ServiceSpec& spec) {
  return wire::json_text(Json{{"argv", spec.argv},
                              {"env", spec.env},
                              {"cwd", spec.cwd},
                              {"listen", spec.listen},
                              {"restart", spec.restart},
                              {"policy", spec.policy},
                              {"notify", spec.notify},
                              {"ready_timeout_ms", spec.ready_timeout_ms},
                              {"stop_timeout_ms", spec.stop_timeout_ms},
                              {"freeze_timeout_ms", spec.freeze_timeout_ms},
                              {"lease_ms", spec.lease_ms ? Json(*spec.lease_ms) : Json()},
                              {"configured", spec.configured}});
}

Result<ServiceSpec> parse_spec(std::string_view text) {
  const Json json = TRY(wire::parse_json(text).context("launch specification"));
  ServiceSpec spec;
  spec.argv = TRY(wire::param<std::vector<std::string>>(json, "argv"));
  spec.env = TRY(wire::param<std::vector<std::string>>(json, "env"));
  spec.cwd = TRY(wire::param<std::string>(json, "cwd"));
  spec.listen = TRY(wire::param<std::vector<std::string>>(json, "listen"));
  spec.restart = TRY(wire::param<std::string>(json, "restart"));
  spec.policy = TRY(wire::param<std::string>(json, "policy"));
  spec.notify = TRY(wire::param<bool>(json, "notify"));
  spec.ready_timeout_ms = TRY(wire::param<uint64_t>(json, "ready_timeout_ms"));
  spec.stop_timeout_ms = TRY(wire::param<uint64_t>(json, "stop_timeout_ms"));
  spec.freeze_timeout_ms = TRY(wire::param<uint64_t>(json, "freeze_timeout_ms"));
  spec.lease_ms = TRY(wire::param<std::optional<uint64_t>>(json, "lease_ms"));
  spec.configured = TRY(wire::param<bool>(json, "configured"));
  return spec;
}

}  // namespace outlive::daemon
