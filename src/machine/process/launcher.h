// Launcher: the keeper's side of launching; the worker's is launch.h, where the protocol is told.
//
//   request -> fds into the window -> clone -> the child leaves the table, waits at its gate
//           -> entry in children[] -> done
//
// Not clone(VM|VFORK): the child must wait until the worker has committed its record, and a vfork
// would hold the keeper that long. The keeper waits only for the child's first act, leaving the
// table (a few hundred us; a child that doesn't do it within kUnshareTimeoutMs is killed), because
// until then the window may not be cleared.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "machine/process/control.h"
#include "machine/process/window.h"

namespace outlive::machine {

inline constexpr int kUnshareTimeoutMs = 2000;

// A launch as the child needs it. Owns its strings: the mailbox may change under it.
struct LaunchPlan {
  std::string program;
  std::string cwd;
  std::vector<std::string> argv;
  std::vector<std::string> env;
  uid_t uid = 0;
  gid_t gid = 0;
  bool has_program_fd = false;
  bool opens = false;
  std::vector<int> targets;  // of window slots 0, 1, ...
  uint64_t soft_nofile = 0;
};

class Launcher {
 public:
  Launcher(Control& control, LaunchWindow window) : control_(control), window_(window) {}

  // Carries out the request in the mailbox, if there is one.
  void turn();
  // Before a new worker: answers what the dead one asked, so that it starts with an empty mailbox.
  void reset();
  // After a takeover: the dead keeper may have left something in it.
  void clear_window() { window_.clear(); }

 private:
  Result<LaunchPlan> read_request(std::vector<BorrowedFd>* fds, BorrowedFd* program) const;
  Status launch();
  void clear_text();
  Status fill_window(const std::vector<BorrowedFd>& fds, BorrowedFd program);
  Status await_unshared(BorrowedFd pidfd);

  Control& control_;
  LaunchWindow window_;
};

}  // namespace outlive::machine
