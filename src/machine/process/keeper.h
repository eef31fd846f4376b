// The keeper: makes the worker, and makes it again when it dies; nothing that the worker held is
// lost, because both have ONE file descriptor table.
//
//   run_keeper: limits, fd table, signals, window of the launcher
//     worker   cloned; PDEATHSIG; restarted at once when it dies, killed when it hangs
//     spare    cloned once the worker serves; becomes the keeper when the keeper dies (spare.h)
//     children launched at the worker's request (launcher.h), reaped, reported in the exit ring
//
// Happy path: SIGTERM -> Control::stop_requested() -> the worker stops its services and returns 0
// -> spare and keeper end. Unhappy paths: the worker dies: another one, before anything else; it
// dies too often: hold mode, in which everything is kept and only `status` answers, until SIGHUP
// (another try) or SIGTERM; the keeper dies: the spare; the keeper hangs or is stopped: the spare
// kills it; the spare is stopped: another one. Before a worker is made, the one before and its
// closer are known to be dead: two on one arena can't happen.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "machine/process/control.h"

namespace outlive::machine {

// What a worker is told at its start.
struct WorkerContext {
  Control& control;
  bool hold = false;          // died too often: attach nothing, answer `status`, wait for a stop
  uint64_t start_number = 1;  // 1: the first worker of this table; later ones attach
  // Of a binary that is about to take over: attach, change nothing else, answer nobody, and say
  // Takeover::commit(). A code that is returned instead makes the old binary go on.
  bool undecided = false;
  // KeeperOptions::no_keeper only (else invalid and empty): when this fd is readable, call the
  // function; it does what the keeper would do.
  BorrowedFd inner_keeper;
  std::function<void()> keeper_turn;
};

inline constexpr int kRestartCode = 75;  // EX_TEMPFAIL: "start another one of me"

// How another binary takes over (takeover.h).
struct TakeoverOptions {
  std::vector<std::string> argv;  // this process's; the next binary gets the same
  uint64_t rehearsal_timeout_ns = 20'000'000'000;
  uint64_t stop_timeout_ns = 5'000'000'000;   // for the worker to get to a place where it can leave
  uint64_t ready_timeout_ns = 5'000'000'000;  // from the exec to the commit
  // After the commit: more own faults than this within the time: back to the binary before.
  uint64_t probation_ns = 10'000'000'000;
  unsigned most_faults = 1;
};

struct KeeperOptions {
  // Runs in a process of its own. Returns: 0: finished, everything ends; kRestartCode: start
  // another; any other code: everything ends with that code when no worker has ever served (it
  // could not start), else as kRestartCode. SIGTERM, SIGINT, SIGHUP and SIGCHLD are blocked in it
  // (the keeper takes them), SIGPIPE is ignored.
  std::function<int(WorkerContext&)> worker_main;
  uint64_t heartbeat_timeout_ns = 10'000'000'000;  // of worker and keeper
  uint64_t attach_timeout_ns = 60'000'000'000;     // instead, while in WorkerState::kAttaching
  // Crash loop: more than this many deaths within this time (worker_watch.h has the whole rule).
  unsigned most_deaths = 10;
  uint64_t death_window_ns = 10'000'000'000;
  bool spare = true;
  bool no_keeper = false;  // for valgrind: worker_main runs in this process
  uint64_t fd_limit = 0;   // 0: the hard RLIMIT_NOFILE
  TakeoverOptions takeover;
  bool taking_over = false;  // this process was executed by another binary's keeper: the Control is
                             // an inherited one, whose state is kExecd
};

// Runs until the end of everything; the exit code. Returns only in the process that called it
// (worker, spare and children leave with _exit). Call it with one thread. It changes the process:
// RLIMIT_NOFILE, signal mask, PR_SET_CHILD_SUBREAPER. An Error while taking_over: end the process,
// the old binary goes on.
Result<int> run_keeper(Control& control, KeeperOptions options);

}  // namespace outlive::machine
