// What outlived opens before the first clone: the folder, the lock, the arena, the listeners. All
// of it stays open for the life of the table, so it is borrowed everywhere.
#pragma once

#include <optional>
#include <string>

#include "base/unique_fd.h"
#include "daemon/awaited_state.h"
#include "daemon/config.h"
#include "daemon/machine_choice.h"
#include "daemon/options.h"
#include "daemon/stored_fds.h"
#include "machine/process/confinement.h"
#include "machine/process/control.h"
#include "wire/runtime_dir.h"

namespace outlive::daemon {

struct WorkerInput;

struct Setup {
  // EEXIST: another outlived is at this folder (its pid is named).
  // What the fd store gave back is used instead of new ones; taken from it.
  // [machine] kind is chosen here; what came through a kexec is left to the first worker.
  static Result<Setup> make(const LoadedConfig& loaded, StoredFds& stored,
                            const machine::Control& control);
  // The same, left by the binary before this one over its exec (abi/takeover.h). EUCLEAN.
  static Result<Setup> inherit(const machine::Control& control);
  // What the worker has to know of the service manager's fd store.
  void hand_on(StoredFds stored, const machine::Control& control, WorkerInput& input) const;
  WorkerInput worker_input(const Options& options, const LoadedConfig& loaded) const;
  // Notes it for the binary after this one, and keeps the text of the configuration.
  Status leave(machine::Control& control, const ConfigText& text) const;

  wire::RuntimeDir runtime;
  std::string state_dir;
  BorrowedFd lock;
  BorrowedFd arena;
  BorrowedFd device_listener;
  BorrowedFd control_listener;
  bool inherits = false;          // the arena is another outlived's
  bool new_listeners = false;     // and its listeners led nowhere
  bool arrives_by_store = false;  // the fd store had sessions of the kernel's
  MachineChoice machine;
  AwaitedState awaited;
};

// What every worker gives up first of all; the folders are there already.
Result<machine::Confinement> prepare_confinement(const Setup& setup, const Options& options,
                                                 const Config& config,
                                                 const machine::Control& control);

// The control block of the binary that executed this one, which is to take over from it; nullopt:
// this one was started by anybody else. Takes it out of the environment.
using InheritedControl = Result<std::optional<machine::Control>>;
InheritedControl inherited_control();

// The text of the configuration in force in the outlived that executed this one, to take over from
// it or to rehearse that; nullopt: there is none, the file counts.
std::optional<std::string> config_in_force(const Options& options, const InheritedControl& control);

// What every worker, a clone of this process, starts with the answers of; and what the binary that
// takes over goes on with.
void find_out_once(const machine::Control& control);

// For tests: $OUTLIVE_FAULTS (base/fault.h), with a fault point at every store into the arena.
Status arm_from_environment();

}  // namespace outlive::daemon
