#include "daemon/fleet_report.h"

#include <sys/utsname.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/sys.h"

namespace outlive::daemon {
namespace {

constexpr uint64_t kLaunchNs = 1'000'000'000;  // until a try begins

}  // namespace

// With all of the body in it, and its end.
Result<UniqueFd> FleetReport::fill(const std::string& body) {
  sys::SocketPair pair = TRY(sys::socketpair(SOCK_STREAM));
  const size_t sent =
      TRY(sys::send(pair.first, std::as_bytes(std::span(body)), MSG_DONTWAIT | MSG_NOSIGNAL));
  if (sent != body.size()) return fail(EMSGSIZE, "{} bytes", body.size());
  TRY(sys::shutdown(pair.first, SHUT_WR));
  TRY(sys::set_nonblocking(pair.first, true));
  channel_ = std::move(pair.first);
  return std::move(pair.second);
}

void FleetReport::send(machine::LaunchQueue& launches, const Config& config, wire::Json status,
                       Policy policy) {
  if (config.fleet_report.empty()) return;
  utsname name{};
  ::uname(&name);
  status["hostname"] = name.nodename;
  status["on_incoming_failure"] = config.on_incoming_failure;
  Result<UniqueFd> theirs = fill(wire::json_text(status));
  if (!theirs) {
    log_error("[fleet] report: {}", theirs.error().text());
    return;
  }
  theirs_ = theirs.take();
  if (policy == Policy::kGoesOn) channel_.reset();  // what it is to send is in it
  machine::LaunchSpec launch;
  launch.program = "/proc/self/exe";  // of the child, which is the keeper's clone
  launch.argv = {"outlived",
                 "--report-to",
                 config.fleet_report,
                 "--report-for",
                 fmt::format("{}", config.fleet_timeout_ns / 1'000'000),
                 "--report-try",
                 fmt::format("{}", config.fleet_try_ns / 1'000'000)};
  launch.env = {"PATH=/usr/bin:/bin"};
  launch.uid = geteuid();
  launch.gid = getegid();
  launch.fds = {{theirs_, STDIN_FILENO}, {BorrowedFd(STDERR_FILENO), STDERR_FILENO}};
  until_ns_ = system_clock().now_ns() + config.fleet_try_ns + kLaunchNs;
  launches.submit(std::move(launch), [this](const auto& result) { launched(result); });
}

void FleetReport::launched(const Result<machine::Launched>& result) {
  theirs_.reset();
  Status opened;
  if (!result) opened = result.error();
  if (opened) opened = machine::open_gate(control_, result->pid);
  if (opened) return;
  log_error("[fleet] report: {}", opened.error().text());
  channel_.reset();
}

bool FleetReport::is_due(uint64_t now_ns) {
  if (!channel_.valid()) return false;
  std::byte one{};
  const auto got = sys::recv(channel_, {&one, 1}, 0);
  const bool waits = !got && got.error().code == EAGAIN && now_ns < until_ns_;
  if (!waits) channel_.reset();
  return waits;
}

}  // namespace outlive::daemon
