// What outlived opens before the first clone: the folder, the lock, the arena, the listeners. All
// of it stays open for the life of the table, so it is borrowed everywhere.
#pragma once

#include <string>

#include "base/unique_fd.h"
#include "daemon/config.h"
#include "daemon/options.h"
#include "daemon/stored_fds.h"
#include "machine/process/confinement.h"
#include "wire/runtime_dir.h"

namespace outlive::daemon {

struct Setup {
  // EEXIST: another outlived is at this folder (its pid is named).
  // What the fd store gave back is used instead of new ones; taken from it.
  static Result<Setup> make(const Config& config, StoredFds& stored);

  wire::RuntimeDir runtime;
  std::string state_dir;
  BorrowedFd lock;
  BorrowedFd arena;
  BorrowedFd device_listener;
  BorrowedFd control_listener;
  bool inherits = false;       // the arena is another outlived's
  bool new_listeners = false;  // and its listeners led nowhere
};

// What every worker gives up first of all; the folders are there already.
Result<machine::Confinement> prepare_confinement(const Setup& setup, const Options& options,
                                                 const Config& config);

}  // namespace outlive::daemon
