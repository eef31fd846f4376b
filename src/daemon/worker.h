// The worker: attaches the arena, takes up everything that is open in the table, and serves until
// it is told to stop. The keeper makes another one whenever it dies.
//
// Happy path:   attach -> close orphans -> listen, resume updates -> loop -> services stopped -> 0
// Unhappy path: the inherited state is refused: its device socket is closed and removed, and only
//               control.sock answers, with the reason (hold_server.h); nothing in the arena
//               changes.
#pragma once

#include <string>

#include "base/unique_fd.h"
#include "daemon/awaited_state.h"
#include "daemon/config.h"
#include "daemon/fd_store.h"
#include "daemon/options.h"
#include "daemon/other_boot.h"
#include "files/registry_defaults.h"
#include "machine/process/keeper.h"
#include "machine/process/memory_limit.h"
#include "wire/runtime_dir.h"

namespace outlive::daemon {

// What main() opened before the first clone; the fds are in the shared table for good.
struct WorkerInput {
  Options options;
  std::string config_text;  // what `config` was read from
  Config config;
  wire::RuntimeDir runtime;
  std::string state_dir;
  std::vector<std::unique_ptr<luo::FileHandler>> handlers;
  BorrowedFd arena;
  BorrowedFd device_listener;
  BorrowedFd control_listener;
  BorrowedFd lock;
  std::string confined = {};  // what is in force in this worker (machine/process/confinement.h)
  std::string machine = "process";   // machine_choice.h
  std::string machine_refused = {};  // why what came in isn't taken; a fresh start goes on with it
  AwaitedState awaited = {};
  bool fd_store = false;
  // The arena is another outlived's (stored_fds.h); the numbers that its records may name.
  bool inherits = false;
  std::vector<int> inherited = {};
  BootId boot = {};
  bool new_listeners = false;  // those of the other outlived led nowhere
  machine::MemoryLimit memory = {};
  // What the fd store has besides files and connections, if the manager hasn't got it yet.
  std::vector<FdStore::Named> stored_base(const machine::Control& control) const;
  // Open for the life of the table.
  std::vector<BorrowedFd> fds() const;
};

// The process's exit code for the keeper (machine::KeeperOptions::worker_main).
int worker_main(WorkerInput& input, machine::WorkerContext& context);

}  // namespace outlive::daemon
