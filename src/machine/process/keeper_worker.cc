// The keeper's care for the worker: start, death, silence.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "base/clock.h"
#include "base/log.h"
#include "base/mutant.h"
#include "machine/process/clone.h"
#include "machine/process/keeper_process.h"
#include "machine/process/killed.h"
#include "machine/process/priority.h"

namespace outlive::machine {
namespace {

constexpr uint64_t kRetryNs = 1'000'000'000;  // after a clone that failed, and in hold mode
constexpr int kCloserGraceMs = 200;

// Closes the pidfd that a word of the block names; the word first, so that whoever reads it never
// finds the number of somebody else.
void close_word(int32_t& word) {
  const UniqueFd old(load_word(word));
  store_word(word, int32_t{-1});
}

// When memory ends, the worker is the one that is made again at no loss; keeper and spare are not.
// Services are cloned from the keeper and never had it.
void volunteer_for_oom() {
  const Result<std::string> now = sys::read_file("/proc/self/oom_score_adj", 16);
  if (!now) return;
  const int score = std::min(atoi(now->c_str()) + 500, 1000);
  const Result<UniqueFd> file = sys::open("/proc/self/oom_score_adj", O_WRONLY);
  if (file) static_cast<void>(sys::write_all(*file, std::to_string(score)));
}

}  // namespace

void KeeperProcess::start_worker() {
  abi::ControlBlock& block = control_.block();
  // Nothing of the worker before may be at work on the table or in the mailbox.
  settle_closer();
  launcher_->reset();
  close_word(block.worker_pidfd);
  const uint64_t now = system_clock().now_ns();
  store_word(block.worker_state, static_cast<uint64_t>(abi::WorkerState::kAttaching));
  store_word(block.worker_starts, block.worker_starts + 1);
  heartbeat_.reset(now);
  killed_for_hang_ = false;
  const Result<pid_t> pid = clone_files(&block.worker_pidfd);
  if (!pid) {
    store_word(block.worker_pidfd, int32_t{-1});
    worker_not_before_ = now + kRetryNs;
    log_error("can't start a worker, trying again: {}", pid.error().text());
    return;
  }
  if (*pid == 0) run_worker();
  worker_not_before_ = 0;
  store_word(block.worker_pid, int64_t{*pid});
}

void KeeperProcess::run_worker() {
  die_with_parent(control_.keeper_pid());
  volunteer_for_oom();
  go_ahead();
  ::prctl(PR_SET_NAME, "outlived-worker");
  set_log_role("worker");
  WorkerContext context{
      control_,     in_hold(), control_.block().worker_starts, takeover_.undecided(),
      BorrowedFd(), nullptr};
  ::_exit(options_.worker_main(context));
}

// The dead worker's closer has SIGKILL from its PDEATHSIG. It must not close another number: the
// next worker may have it for something else.
void KeeperProcess::settle_closer() {
  int32_t& word = control_.block().closer_pidfd;
  const int32_t number = load_word(word);
  if (number < 0) return;
  static_cast<void>(sys::pidfd_send_signal(BorrowedFd(number), SIGKILL));
  for (int rounds = 1;; ++rounds) {
    pollfd dead{number, POLLIN, 0};
    ::poll(&dead, 1, kCloserGraceMs);
    beat();
    if (is_past_harm(BorrowedFd(number)) || mutant("worker-before-closer-ends")) break;
    if (rounds == 10) log_warning("the killed closer gets no processor: the next worker waits");
  }
  close_word(word);
}

void KeeperProcess::check_worker() {
  const pid_t pid = control_.worker_pid();
  if (pid == 0) {
    if (system_clock().now_ns() >= worker_not_before_) start_worker();
    return;
  }
  siginfo_t info{};
  if (::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG) != 0 || info.si_pid == 0) {
    return;
  }
  store_word(control_.block().worker_pid, int64_t{0});
  worker_ended({pid, info.si_code, info.si_status});
}

void KeeperProcess::worker_ended(const ChildExit& exit) {
  abi::ControlBlock& block = control_.block();
  if (control_.worker_state() == abi::WorkerState::kServing) {
    store_word(block.ever_served, uint64_t{1});
  }
  if (takeover_took(exit)) return;
  const bool served = load_word(block.ever_served) != 0;
  if (exit.code == CLD_EXITED && exit.status == 0) {
    end_code_ = 0;
    return;
  }
  if (exit.code == CLD_EXITED && exit.status != kRestartCode && !served) {
    end_code_ = exit.status;  // it has said why
    return;
  }
  const uint64_t now = system_clock().now_ns();
  store_word(block.worker_deaths, block.worker_deaths + 1);
  if (std::exchange(killed_to_retry_, false)) {
    start_worker();
    return;
  }
  const abi::DeathKind kind = kind_of(exit);
  const bool too_many =
      deaths_.note(now, kind, control_.worker_state() == abi::WorkerState::kServing);
  store_word(block.last_death, static_cast<uint64_t>(kind));
  if (too_many && control_.stop_requested() != 0) {
    log_error("worker died ({}), too often: ending without it", exit.text());
    end_code_ = 1;
    return;
  }
  if (in_hold()) {
    worker_not_before_ = now + kRetryNs;
    log_warning("worker died ({}) in hold mode, starting another", exit.text());
    return;
  }
  if (too_many) store_word(block.hold, uint64_t{1});
  start_worker();  // before the log: everybody waits for it
  log_warning("worker died ({}), starting another", exit.text());
  if (too_many) {
    log_error(
        "the worker died too often ({} deaths in all): holding everything, serving nobody (SIGHUP: "
        "try again, SIGTERM: end)",
        load_word(block.worker_deaths));
  }
}

abi::DeathKind KeeperProcess::kind_of(const ChildExit& exit) const {
  const bool sent = exit.code != CLD_EXITED && (exit.status == SIGKILL || exit.status == SIGTERM);
  return sent && !killed_for_hang_ ? abi::DeathKind::kOutside : abi::DeathKind::kOwn;
}

void KeeperProcess::check_heartbeat() {
  abi::ControlBlock& block = control_.block();
  const abi::WorkerState state = control_.worker_state();
  if (state == abi::WorkerState::kServing) store_word(block.ever_served, uint64_t{1});
  if (control_.worker_pid() == 0) return;
  const uint64_t now = system_clock().now_ns();
  if (!heartbeat_.hangs(now, load_word(block.heartbeat_ns), state)) return;
  log_warning("worker {} doesn't answer (hung or stopped): killing it", control_.worker_pid());
  heartbeat_.reset(now);  // SIGKILL may take its time
  killed_for_hang_ = true;
  kill_worker();
}

void KeeperProcess::kill_worker() {
  if (control_.worker_pid() == 0) return;
  static_cast<void>(sys::pidfd_send_signal(BorrowedFd(control_.block().worker_pidfd), SIGKILL));
}

}  // namespace outlive::machine
