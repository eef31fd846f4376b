// The spare: dormant, on the same fd table, with everything the keeper knew when it was cloned. It
// waits for the keeper's death and becomes the keeper.
//
// Two workers on one arena must never be. So before it starts one it sees the old one dead, through
// the pidfd that clone(2) itself wrote into the control block before that worker ran.
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "machine/process/clone.h"
#include "machine/process/keeper_process.h"

namespace outlive::machine {
namespace {

constexpr uint64_t kSpareRestNs = 100'000'000;  // between two spares, if one dies at once

}  // namespace

void KeeperProcess::check_spare() {
  if (!options_.spare) return;
  abi::ControlBlock& block = control_.block();
  if (control_.spare_pid() != 0) {
    if (!spare_is_dead()) return;
    store_word(block.spare_pid, int64_t{0});
  }
  if (spare_is_due() && system_clock().now_ns() >= spare_not_before_) start_spare();
}

bool KeeperProcess::spare_is_dead() {
  const pid_t pid = control_.spare_pid();
  siginfo_t info{};
  if (::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WSTOPPED | WNOHANG) != 0 ||
      info.si_pid == 0) {
    return false;
  }
  const ChildExit exit{pid, info.si_code, info.si_status};
  if (info.si_code == CLD_STOPPED) {
    // It would not take over. It has no state: another one is as good.
    log_warning("spare {} was stopped: killing it", pid);
    static_cast<void>(sys::pidfd_send_signal(BorrowedFd(control_.block().spare_pidfd), SIGKILL));
    return false;
  }
  log_warning("spare died ({}), starting another", exit.text());
  return true;
}

bool KeeperProcess::spare_is_due() const {
  // An attaching worker closes what it doesn't know: no fd is opened meanwhile.
  const abi::WorkerState state = control_.worker_state();
  const bool attached = state == abi::WorkerState::kServing || state == abi::WorkerState::kHolding;
  return options_.spare && control_.spare_pid() == 0 && control_.worker_pid() != 0 && attached;
}

void KeeperProcess::start_spare() {
  abi::ControlBlock& block = control_.block();
  spare_not_before_ = system_clock().now_ns() + kSpareRestNs;
  Result<UniqueFd> wake = sys::eventfd(0);
  if (!wake) {
    log_warning("can't start a spare: {}", wake.error().text());
    return;
  }
  const UniqueFd old_wake(static_cast<int>(load_word(block.takeover.spare_wake_fd)));
  store_word(block.takeover.spare_wake_fd, int64_t{wake->release()});
  const UniqueFd old(load_word(block.spare_pidfd));
  store_word(block.spare_pidfd, int32_t{-1});
  const Result<pid_t> pid = clone_files(&block.spare_pidfd);
  if (!pid) {
    store_word(block.spare_pidfd, int32_t{-1});
    log_warning("can't start a spare: {}", pid.error().text());
    return;
  }
  if (*pid == 0) run_spare();
  store_word(block.spare_pid, int64_t{*pid});
}

void KeeperProcess::run_spare() {
  ::prctl(PR_SET_NAME, "outlived-spare");
  set_log_role("spare");
  // Numbers of this table; after an exec the block may have those of another.
  const BorrowedFd keeper_pidfd(control_.block().keeper_pidfd);
  pollfd waits[] = {{keeper_pidfd.get(), POLLIN, 0},
                    {static_cast<int>(control_.block().takeover.spare_wake_fd), POLLIN, 0}};
  HeartbeatWatch watch(options_.heartbeat_timeout_ns, 0);
  watch.reset(system_clock().now_ns());
  do {
    // Once woken, it looks at the time.
    ::poll(waits, is_old_spare() ? 1 : 2, spare_rest_ms(watch.turn_ms()));
    if (waits[0].revents != 0) continue;
    const uint64_t now = system_clock().now_ns();
    const uint64_t heartbeat = load_word(control_.block().keeper_heartbeat_ns);
    if (is_old_spare() || !watch.hangs(now, heartbeat, abi::WorkerState::kServing)) continue;
    log_warning("keeper {} doesn't turn (hung or stopped): killing it", control_.keeper_pid());
    static_cast<void>(sys::pidfd_send_signal(keeper_pidfd, SIGKILL));
    watch.reset(now);
  } while (watch_takeover(waits[0].revents != 0));
  if (load_word(control_.block().ended) != 0) ::_exit(0);
  take_over();
  ::_exit(run());
}

void KeeperProcess::take_over() {
  abi::ControlBlock& block = control_.block();
  log_warning("keeper {} died, taking over", control_.keeper_pid());
  store_word(block.keeper_deaths, block.keeper_deaths + 1);
  await_dead(&block.worker_pidfd, "worker");
  store_word(block.worker_deaths, block.worker_deaths + 1);
  store_word(block.last_death, static_cast<uint64_t>(abi::DeathKind::kOutside));
  const std::optional<ChildExit> end = end_on_probation();
  become_keeper();
  settle_after_death(end);
}

// The old keeper and its worker are dead.
void KeeperProcess::become_keeper() {
  abi::ControlBlock& block = control_.block();
  ::prctl(PR_SET_NAME, "outlived");
  set_log_role("keeper");
  beat();
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  store_word(block.spare_pid, int64_t{0});
  spare_not_before_ = 0;
  store_word(block.worker_pid, int64_t{0});
  const UniqueFd old(load_word(block.keeper_pidfd));
  store_word(block.keeper_pidfd, int32_t{-1});
  store_word(block.keeper_pid, int64_t{::getpid()});
  Result<UniqueFd> self = sys::pidfd_open(::getpid());
  if (self) {
    store_word(block.keeper_pidfd, int32_t{self->release()});
  } else {
    options_.spare = false;
    log_error("no spare from now on: {}", self.error().text());
  }
  launcher_->clear_window();
  reaper_.adopt();
}

// The dead keeper's worker dies by its PDEATHSIG; this only makes sure.
void KeeperProcess::await_dead(int32_t* pidfd_word, const char* whom) {
  const int32_t number = load_word(*pidfd_word);
  if (number < 0) return;
  pollfd dead{number, POLLIN, 0};
  static_cast<void>(sys::pidfd_send_signal(BorrowedFd(number), SIGKILL));
  constexpr int kLogEveryMs = 5000;
  while (::poll(&dead, 1, kLogEveryMs) != 1) {
    beat();
    log_warning("waiting for the old {} to die", whom);
  }
}

}  // namespace outlive::machine
