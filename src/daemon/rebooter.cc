#include "daemon/rebooter.h"

#include <unistd.h>

#include "base/log.h"

namespace outlive::daemon {

Rebooter::Rebooter(machine::Control& control, machine::LaunchQueue& launches, std::string why,
                   std::vector<std::string> command, uint64_t timeout_ns)
    : control_(control),
      launches_(launches),
      why_(std::move(why)),
      command_(std::move(command)),
      timeout_ns_(timeout_ns),
      over_(command_.empty()) {}

void Rebooter::turn(uint64_t now_ns) {
  if (over_ || now_ns < next_ns_) return;
  if (tries_ == kTries) {
    log_error("{} = reboot: still here after {} tries of '{}': holding", why_, kTries, command_[0]);
    over_ = true;
    return;
  }
  ++tries_;
  next_ns_ = now_ns + timeout_ns_;
  log_error("{} = reboot: running '{}', try {} of {}", why_, command_[0], tries_, kTries);
  start();
}

void Rebooter::start() {
  machine::LaunchSpec launch;
  launch.program = command_[0];
  launch.argv = command_;
  launch.env = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"};
  launch.uid = geteuid();
  launch.gid = getegid();
  launches_.submit(std::move(launch), [this](Result<machine::Launched> launched) {
    if (!launched) {
      log_error("'{}': {}", command_[0], launched.error().message);
      return;
    }
    if (const Status opened = machine::open_gate(control_, launched->pid); !opened) {
      log_error("'{}': {}", command_[0], opened.error().message);
    }
  });
}

}  // namespace outlive::daemon
