// Where a refusal is reported to: "http://HOST[:PORT][/PATH]", HOST an IPv4 address or an IPv6
// address in brackets. No names: a resolver is one thing more that doesn't work on a bad day, and a
// static program can't have all of the host's.
#pragma once

#include <string>

#include "daemon/listen_address.h"

namespace outlive::daemon {

struct FleetAddress {
  ListenAddress at;
  std::string host;  // as written, with the port: of the header
  std::string path = "/";
};

// EINVAL: it is none.
Result<FleetAddress> parse_fleet_address(const std::string& text);

}  // namespace outlive::daemon
