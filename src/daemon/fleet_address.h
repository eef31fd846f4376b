// Where a refusal is reported to: "http://HOST[:PORT][/PATH]", HOST a name, an IPv4 address or an
// IPv6 address in brackets.
#pragma once

#include <string>

#include "daemon/listen_address.h"

namespace outlive::daemon {

struct FleetAddress {
  std::string name;  // to be looked up at each try (name_lookup.h); "": `at` says it
  ListenAddress at;  // of a name the port alone
  std::string host;  // as written, with the port: of the header
  std::string path = "/";
};

// EINVAL: it is none.
Result<FleetAddress> parse_fleet_address(const std::string& text);

}  // namespace outlive::daemon
