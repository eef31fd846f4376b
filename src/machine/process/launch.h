// Launching from the worker's side: the worker is confined, and confinement is inherited, so the
// keeper launches (launcher.h). The worker asks through the mailbox of the control block.
//
//   submit -> [keeper clones the child; it waits at its gate] -> callback(Launched)
//   the worker commits the record that names the child -> open_gate -> the child execs
//
// Unhappy paths: the worker dies before its commit: the next one finds the child in
// Control::children(), no record names it, kill_unnamed() ends it; the keeper dies: the request is
// answered ECANCELED, a half-made child sees the end of its gate and leaves. An exec that fails
// says so in one line on the child's stderr and exits with 127 (126: EACCES).
// Threads: the worker's only one. Nothing here blocks.
#pragma once

#include <sys/types.h>

#include <deque>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "machine/process/control.h"

namespace outlive::machine {

struct LaunchFd {
  BorrowedFd fd;
  int target = -1;  // the number that the child sees
};

// Targets 0, 1 and 2 that are not named are /dev/null. LISTEN_PID is set when LISTEN_FDS is in env.
struct LaunchSpec {
  std::string program;            // without a slash: searched in the PATH of `env`
  BorrowedFd program_fd;          // if valid, this very file is executed
  bool opens = false;             // nothing is executed: for the Opener (opener.h) only
  std::vector<std::string> argv;  // argv[0] included
  std::vector<std::string> env;   // NAME=VALUE
  std::string cwd = "/";
  uid_t uid = 0;  // another uid or gid than ours needs root: else EPERM
  gid_t gid = 0;
  std::vector<LaunchFd> fds;  // stay open until the callback
};

struct Launched {
  pid_t pid = 0;
  BorrowedFd pidfd;  // valid until Control::pop_exit() of this child; don't close it
};

class LaunchQueue {
 public:
  using Callback = std::function<void(Result<Launched>)>;

  // One per worker, made after close_orphans().
  explicit LaunchQueue(Control& control);

  // The callback runs in a later pump(). E2BIG: too many fds or bytes; EINVAL: no program or no
  // argv; EAGAIN: too many children.
  void submit(LaunchSpec spec, Callback callback);
  // Once a turn, before Control::peek_exit() (a child's exit never comes before its launch then).
  void pump();
  bool idle() const { return waiting_.empty() && !in_flight_; }
  // What is open for launches that wait.
  std::vector<BorrowedFd> fds() const;

 private:
  struct Entry {
    LaunchSpec spec;
    Callback callback;
  };
  Status post(const LaunchSpec& spec);
  Result<Launched> answer() const;

  Control& control_;
  std::deque<Entry> waiting_;  // front: in flight, if in_flight_
  bool in_flight_ = false;
};

// Lets the child exec. May be repeated, also by the next worker. ESRCH: no such child.
Status open_gate(Control& control, pid_t pid);
// Sends a signal to a launched child. ESRCH: it is gone.
Status signal_child(const Control& control, pid_t pid, int signal);
// SIGKILL to every launched child that is not in `named`; how many. Their exits come as any.
size_t kill_unnamed(const Control& control, const std::set<pid_t>& named);

// A child of the keeper that was not launched: an orphan of a service, reparented to the keeper.
struct Stranger {
  pid_t pid = 0;
  pid_t session = 0;  // process session: the pid of the service that it comes from, as a rule
};
std::vector<Stranger> list_strangers(const Control& control);
// SIGKILL, if it still is a stranger (safe against reuse of pids).
Status kill_stranger(const Control& control, pid_t pid);

}  // namespace outlive::machine
