#include "daemon/fleet_address.h"

#include <algorithm>
#include <string_view>

namespace outlive::daemon {

Result<FleetAddress> parse_fleet_address(const std::string& text) {
  constexpr std::string_view kScheme = "http://";
  const auto wrong = [&] {
    return fail(EINVAL, "'{}' is not http://ADDRESS[:PORT][/PATH] with a numeric address", text);
  };
  const auto is_plain = [](char one) { return one > ' ' && one < 0x7f; };  // it goes into a header
  if (!text.starts_with(kScheme) || !std::ranges::all_of(text, is_plain)) return wrong();
  const std::string rest = text.substr(kScheme.size());
  FleetAddress address;
  const size_t path = std::min(rest.find('/'), rest.size());
  address.host = rest.substr(0, path);
  if (path < rest.size()) address.path = rest.substr(path);
  const bool has_port = address.host.rfind(':') + 1 > address.host.rfind(']') + 1;
  Result<ListenAddress> at = parse_listen_address("tcp:" + address.host + (has_port ? "" : ":80"));
  if (address.host.empty() || address.host.starts_with(':') || !at || at->port == 0) return wrong();
  address.at = at.take();
  return address;
}

}  // namespace outlive::daemon
