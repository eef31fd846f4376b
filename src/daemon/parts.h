// What the daemon's parts share. Owned by the worker; all of one thread.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <string>

#include "base/clock.h"
#include "daemon/config.h"
#include "daemon/loop.h"
#include "daemon/refusal_log.h"
#include "daemon/turn_times.h"
#include "luo/core.h"
#include "machine/process/closer.h"
#include "machine/process/control.h"
#include "machine/process/launch.h"
#include "wire/runtime_dir.h"

namespace outlive::daemon {

struct Parts {
  const Config& config;
  wire::RuntimeDir runtime;
  std::string state_dir;
  machine::Control& control;
  Loop& loop;
  machine::Closer& closer;
  machine::LaunchQueue& launches;
  kho::Arena& arena;
  luo::Core& core;
  const Clock& clock;
  uint64_t started_ns;                 // of this worker's life
  std::function<void()> request_stop;  // ends the daemon, services first
  std::function<std::string(bool previous)> read_log;
  std::function<uint64_t()> log_written;
  uint64_t leaks_corrected;  // by the last attach
  uint64_t fd_limit;         // soft RLIMIT_NOFILE
  std::string confined;      // what is in force in this worker

  TurnTimes turns = {};
  RefusalLog refusals = {};

  luo::Records& records() const { return core.records(); }
  // The kernel hands out the lowest free number: one this high says that the table is nearly full.
  // The rest is kept back, so that operators are answered and services can be started.
  bool in_reserve(BorrowedFd fd) const {
    constexpr uint64_t kReserve = 64;
    return static_cast<uint64_t>(fd.get()) + kReserve >= fd_limit;
  }
  // The same for one user: a part is root's and outlived's own user's only.
  bool in_reserve(BorrowedFd fd, uint64_t uid) const {
    if (is_operator(uid)) return in_reserve(fd);
    return static_cast<uint64_t>(fd.get()) + std::max<uint64_t>(128, fd_limit / 16) >= fd_limit;
  }
  static bool is_operator(uint64_t uid) { return uid == 0 || uid == ::geteuid(); }
  uint64_t now() const { return clock.now_ns(); }
};

}  // namespace outlive::daemon
