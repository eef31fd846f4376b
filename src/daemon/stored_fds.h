// StoredFds: what the service manager kept of a life before and hands over at the start
// (LISTEN_FDS, LISTEN_FDNAMES; fd_store.h has the names). Every "o.N" gets its number N
// back, before anything else is opened.
//
// Happy path:   take() -> an arena and its descriptors, each at its old number; or sessions of the
//               kernel's, from which it is made (kexec_arrival.h)
// Unhappy path: other descriptors without an arena mean nothing: they are closed and removed from
//               the store, and outlived starts empty, which is said in the log. Names of others
//               are closed too, and what is named a session of the kernel's and is none: its
//               direction is looked at later (machine/kernel/carry.h).
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace outlive::daemon {

struct StoredFds {
  // Of this process; an empty one when it was given none. Unsets the variables.
  static Result<StoredFds> take();

  UniqueFd arena;
  UniqueFd device_listener;
  UniqueFd control_listener;
  std::vector<UniqueFd> kernel_sessions;  // CLOEXEC
  std::vector<int> placed;  // the numbers that records may name, sorted; of direct sessions alone
                            // where there is no arena
};

// Moves fds to other numbers, all at once: {from, to}. Every `to` that is not a `from` is free, and
// none is there twice. What is moved is not CLOEXEC any more.
Status move_fds(std::vector<std::pair<int, int>> moves);

}  // namespace outlive::daemon
