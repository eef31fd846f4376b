#include "daemon/fleet_address.h"

#include <algorithm>
#include <string_view>

namespace outlive::daemon {
namespace {

constexpr std::string_view kDigits = "0123456789";
constexpr std::string_view kOfNames =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

// As in DNS. One that ends in a number is an address, and maybe a wrong one: a resolver would take
// "10.1" for 10.0.0.1.
bool is_name(std::string_view host) {
  if (host.ends_with('.')) host.remove_suffix(1);
  if (host.empty() || host.size() > 253) return false;
  std::string_view label;
  for (size_t at = 0; at <= host.size(); at += label.size() + 1) {
    label = host.substr(at, host.find('.', at) - at);
    if (label.empty() || label.size() > 63 || label.starts_with('-')) return false;
    if (label.find_first_not_of(kOfNames) != std::string_view::npos) return false;
  }
  return label.find_first_not_of(kDigits) != std::string_view::npos;
}

}  // namespace

Result<FleetAddress> parse_fleet_address(const std::string& text) {
  constexpr std::string_view kScheme = "http://";
  const auto wrong = [&] { return fail(EINVAL, "'{}' is not http://HOST[:PORT][/PATH]", text); };
  const auto is_plain = [](char one) { return one > ' ' && one < 0x7f; };  // it goes into a header
  if (!text.starts_with(kScheme) || !std::ranges::all_of(text, is_plain)) return wrong();
  const std::string rest = text.substr(kScheme.size());
  FleetAddress address;
  const size_t path = std::min(rest.find('/'), rest.size());
  address.host = rest.substr(0, path);
  if (path < rest.size()) address.path = rest.substr(path);
  const bool has_port = address.host.rfind(':') + 1 > address.host.rfind(']') + 1;
  std::string numeric = address.host + (has_port ? "" : ":80");
  const size_t port = numeric.rfind(':');
  if (is_name(std::string_view(numeric).substr(0, port))) {
    address.name = numeric.substr(0, port);
    numeric.replace(0, port, "0.0.0.0");
  }
  Result<ListenAddress> at = parse_listen_address("tcp:" + numeric);
  if (address.host.empty() || address.host.starts_with(':') || !at || at->port == 0) return wrong();
  address.at = at.take();
  return address;
}

}  // namespace outlive::daemon
