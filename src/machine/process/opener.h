// Opener: looks up paths that clients give, for the worker, which must never do it itself: a path
// on a dead network file system, or below a FUSE server that doesn't answer, blocks whoever walks
// it.
//
//   open -> launch (launch.h): a child with the client's identity looks it up, sends the descriptor
//        -> callback
//
// Nobody opens through outlived what they may not open themselves: the keeper launches the child,
// unconfined, so it can become the client's user first.
//
// Unhappy paths: it takes longer than the time-out: the child is killed, ETIMEDOUT. One that not
// even SIGKILL ends (its request is at a FUSE server) is left there, and is one of the few that its
// user may have at once until it ends; who has as many waits, and gets EAGAIN in the end. The
// keeper dies before it has launched: again. The worker dies: the next one does again what it was
// for, and kills the child as nobody's (kill_unnamed).
//
// Threads: the worker's only one. Nothing here blocks.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <list>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "machine/process/closer.h"
#include "machine/process/control.h"
#include "machine/process/launch.h"

namespace outlive::machine {

class Opener {
 public:
  struct Request {
    uid_t uid = 0;
    gid_t gid = 0;
    std::string path;       // relative: from `cwd`
    std::string cwd = "/";  // looked up, too
    // A path without a slash is searched for there, as a command is; empty: the usual folders.
    std::string search = {};
    UniqueFd socket = {};  // if valid: this Unix socket is bound to `path`
  };
  // What was opened (O_PATH, CLOEXEC not set), or the socket. The errno is that of the look-up;
  // ETIMEDOUT: nobody knows.
  using Callback = std::function<void(Result<UniqueFd>)>;

  Opener(Control& control, LaunchQueue& launches, Closer& closer, uint64_t timeout_ns)
      : control_(control), launches_(launches), closer_(closer), timeout_ns_(timeout_ns) {}
  Opener(const Opener&) = delete;
  Opener& operator=(const Opener&) = delete;

  // The callback runs in a later tick(), or in child_exited().
  void open(Request request, Callback callback);
  // Gives away what was opened and nobody wants: its close might block.
  void drop(Result<UniqueFd> opened);
  // For what is not launched yet.
  void set_timeout(uint64_t timeout_ns) { timeout_ns_ = timeout_ns; }
  // Each turn, and at next_deadline(); the child's end wakes the worker.
  void tick(uint64_t now_ns);
  uint64_t next_deadline() const;  // 0: none
  // Before Control::pop_exit().
  void child_exited(pid_t pid);
  // What is open for it.
  std::vector<BorrowedFd> fds() const;
  size_t pending() const { return tasks_.size(); }

  // At once, also those that can't be killed: of one user, of root or outlived's own user, and of
  // all users but these.
  static constexpr size_t kMostOfUid = 4;
  static constexpr size_t kMostOfOperator = 32;
  static constexpr size_t kMostOfOthers = 64;

 private:
  enum class State { kQueued, kLaunching, kRunning, kOver };
  struct Task {
    uint64_t number;
    Request request;
    Callback callback;
    State state = State::kQueued;
    uint64_t deadline_ns = 0;  // 0: set at the next tick
    uint64_t timeout_ns = 0;
    UniqueFd channel;  // ours
    UniqueFd theirs;
    pid_t pid = 0;
    BorrowedFd pidfd;
  };
  Task* find(uint64_t number);
  bool may_start(const Task& task) const;
  void start(Task& task);
  void launched(uint64_t number, const Result<Launched>& result);
  bool read_answer(Task& task);
  Result<UniqueFd> result_of(Task& task, int error, std::vector<UniqueFd> fds);
  void late(Task& task);
  void finish(Task& task, Result<UniqueFd> result);
  void tell();

  Control& control_;
  LaunchQueue& launches_;
  Closer& closer_;
  uint64_t timeout_ns_;
  uint64_t last_number_ = 0;
  std::list<Task> tasks_;  // in order of arrival
  std::vector<std::function<void()>> finished_;
};

}  // namespace outlive::machine
