// What the daemon's parts share. Owned by the worker; all of one thread.
#pragma once

#include <string>

#include "base/clock.h"
#include "daemon/config.h"
#include "daemon/loop.h"
#include "luo/core.h"
#include "machine/process/closer.h"
#include "machine/process/control.h"
#include "machine/process/launch.h"
#include "wire/runtime_dir.h"

namespace outlive::daemon {

class Reloader;

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
  Reloader* reloader = nullptr;
  std::function<std::string()> metrics;  // as text

  luo::Records& records() const { return core.records(); }
  // The kernel hands out the lowest free number: one this high says that the table is nearly full.
  // The rest is kept back, so that operators are answered and services can be started.
  bool in_reserve(BorrowedFd fd) const {
    constexpr uint64_t kReserve = 64;
    return static_cast<uint64_t>(fd.get()) + kReserve >= fd_limit;
  }
  uint64_t now() const { return clock.now_ns(); }
};

}  // namespace outlive::daemon
