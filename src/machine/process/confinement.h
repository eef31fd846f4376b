// Confinement: what the worker, which parses everything that comes from outside, gives up after its
// clone. Keeper, spare and launcher never do: it is inherited, so services would have it too, and
// layers would add up over updates of outlived until one of them fails.
//
//   no new privileges   nothing that it starts could have more than itself
//   Landlock            files: the folders of ConfinementPlan, /proc, /sys/fs/cgroup and no more
//   capabilities        of root's: those in kKeptCapabilities
//   seccomp             system calls: those that outlived makes. What only an intruder would call
//                       (execve, ptrace, mount, bpf, ...) kills the worker, and the keeper makes
//                       another one; anything else that isn't known is ENOSYS, as on an older
//                       kernel: a call that was forgotten here, or that a new libc tries first,
//                       must not end a daemon that holds the only copy of something
//
// Happy path:   prepare() once, before the first clone: the filter is compiled there. apply() in
// each
//               worker, first of all: a few system calls.
// Unhappy path: what this kernel doesn't have is left out, and Confined says so. Nothing here is an
//               error: a worker that isn't confined still serves.
#pragma once

#include <linux/filter.h>

#include <string>
#include <vector>

#include "base/result.h"

namespace outlive::machine {

struct ConfinementPlan {
  std::vector<std::string> read;   // folders whose files may be read
  std::vector<std::string> write;  // folders whose files may also be made, written and removed
};

// What is in force, in the process that asked for it.
struct Confined {
  bool no_new_privileges = false;
  int landlock = 0;  // version of the kernel's interface, 0: not confined
  bool capabilities = false;
  bool seccomp = false;
  std::string why_not;  // of the first that failed
  // "seccomp, Landlock 7, no new privileges, capabilities dropped"; "off: REASON".
  std::string text() const;
};

class Confinement {
 public:
  // Compiles the filter. ENOMEM.
  static Result<Confinement> prepare(ConfinementPlan plan);
  // With a filter that compile_call_filter() of this very binary has made before.
  static Confinement prepared(ConfinementPlan plan, std::vector<sock_filter> filter);
  // One that does nothing and says why.
  static Confinement off(std::string why);

  // For this process and all that it will ever start; there is no way back. One thread only.
  Confined apply() const;

 private:
  Confinement() = default;
  int restrict_files() const;

  ConfinementPlan plan_;
  std::vector<sock_filter> filter_;
  std::string why_off_;
};

// Of root's: owners of services' logs, files of other users, signals to their processes, listeners
// below port 1024.
uint64_t kept_capabilities();

}  // namespace outlive::machine
