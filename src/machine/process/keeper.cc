#include "machine/process/keeper.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/time_slice.h"
#include "machine/process/fd_table.h"
#include "machine/process/keeper_process.h"
#include "machine/process/launch.h"
#include "machine/process/priority.h"

namespace outlive::machine {

Result<int> run_keeper(Control& control, KeeperOptions options) {
  KeeperProcess keeper(control, std::move(options));
  TRY(keeper.set_up());
  return keeper.run();
}

KeeperProcess::KeeperProcess(Control& control, KeeperOptions options)
    : control_(control),
      options_(std::move(options)),
      reaper_(control),
      takeover_(control),
      heartbeat_(options_.heartbeat_timeout_ns, options_.attach_timeout_ns),
      deaths_(options_.most_deaths, options_.death_window_ns) {}

Status KeeperProcess::set_up() {
  abi::ControlBlock& block = control_.block();
  if (options_.taking_over) return set_up_taken_over();
  const FdLimit limit = TRY(grow_fd_table(options_.fd_limit));
  block.soft_nofile = limit.before;
  LaunchWindow window = TRY(LaunchWindow::reserve(control_));
  launcher_.emplace(control_, window);
  TRY(set_up_signals());
  if (::prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) return fail_errno("PR_SET_CHILD_SUBREAPER");
  // For all of outlived: who waits for it shall not wait for others' slices, too. EINVAL: whoever
  // started it chose another policy.
  static_cast<void>(set_time_slice(kShortTimeSliceNs));
  let_session_go_ahead();
  store_word(block.keeper_pid, int64_t{::getpid()});
  // Before anyone is cloned: a pidfd opened by the spare itself could already be of somebody else.
  UniqueFd self = TRY(sys::pidfd_open(::getpid()));
  store_word(block.keeper_pidfd, int32_t{self.release()});
  return {};
}

// Signal mask, subreaper, time slice, pid and every descriptor have crossed the exec. What has not
// is the size of the table.
Status KeeperProcess::set_up_taken_over() {
  if (!takeover_.undecided()) return fail(EPROTO, "no takeover is going on");
  entered_ = takeover_.number();
  old_spare_ = control_.spare_pid();
  ::prctl(PR_SET_NAME, "outlived");
  TRY(grow_fd_table(options_.fd_limit));
  launcher_.emplace(control_, LaunchWindow::inherit(control_));
  reaper_.adopt();
  return {};
}

Status KeeperProcess::set_up_signals() {
  ::signal(SIGPIPE, SIG_IGN);
  sigset_t taken;
  sigemptyset(&taken);
  for (const int signal : {SIGCHLD, SIGTERM, SIGINT, SIGHUP}) sigaddset(&taken, signal);
  if (::sigprocmask(SIG_BLOCK, &taken, nullptr) != 0) return fail_errno("sigprocmask");
  UniqueFd fd(::signalfd(-1, &taken, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd) return fail_errno("signalfd");
  store_word(control_.block().signal_fd, int64_t{fd.release()});
  return {};
}

int KeeperProcess::run() {
  if (options_.no_keeper) return run_inside();
  set_log_role("keeper");
  if (takeover_.undecided()) see_worker_gone();
  // What came through a kexec, and is given out once, is about to be open in this table alone.
  if (load_word(control_.block().arrival) != 0 && !takeover_.undecided()) start_spare();
  start_worker();
  if (takeover_.undecided()) {
    // While the worker attaches: it opens nothing before it has committed, and that needs a spare.
    start_spare();
    if (control_.spare_pid() == 0) ::_exit(kRestartCode);
    store_word(control_.block().takeover.spare_ready, takeover_.number());
    control_.wake_worker();
  }
  while (!end_code_) {
    wait(rest_ms());
    turn();
  }
  end_everything();
  return *end_code_;
}

int KeeperProcess::run_inside() {
  set_log_role("worker");
  Result<UniqueFd> events = sys::epoll_create();
  if (!events) {
    log_error("{}", events.error().text());
    return 1;
  }
  const BorrowedFd signals(static_cast<int>(control_.block().signal_fd));
  for (const BorrowedFd fd : {signals, control_.keeper_wake()}) {
    static_cast<void>(sys::epoll_ctl(*events, EPOLL_CTL_ADD, fd, EPOLLIN, 0));
  }
  store_word(control_.block().worker_pid, int64_t{::getpid()});
  store_word(control_.block().worker_starts, uint64_t{1});
  WorkerContext context{control_, false, 1, false, events->borrow(), [this] {
                          control_.drain_keeper_wake();
                          read_signals();
                          launcher_->turn();
                          reaper_.turn(system_clock().now_ns());
                        }};
  const int code = options_.worker_main(context);
  end_everything();
  return code;
}

void KeeperProcess::beat() {
  store_word(control_.block().keeper_heartbeat_ns, system_clock().now_ns());
}

void KeeperProcess::turn() {
  beat();
  control_.drain_keeper_wake();
  read_signals();
  follow_config();
  check_worker();  // first: everybody waits for it
  if (end_code_) return;
  check_takeover();
  launcher_->turn();
  reaper_.turn(system_clock().now_ns());
  check_heartbeat();
  check_spare();
}

// Until when nothing has to be done, if nothing happens.
int KeeperProcess::rest_ms() const {
  int rest = heartbeat_.turn_ms();
  const uint64_t now = system_clock().now_ns();
  const auto not_after = [&](uint64_t when) {
    const uint64_t left = when > now ? (when - now) / 1'000'000 + 1 : 0;
    if (left < static_cast<uint64_t>(rest)) rest = static_cast<int>(left);
  };
  if (control_.worker_pid() == 0) not_after(worker_not_before_);
  if (spare_is_due()) not_after(spare_not_before_);
  return takeover_rest_ms(rest);
}

void KeeperProcess::wait(int timeout_ms) {
  std::vector<pollfd> waits = {
      {static_cast<int>(control_.block().signal_fd), POLLIN, 0},
      {control_.keeper_wake().get(), POLLIN, 0},
  };
  const auto rehearsal = static_cast<int>(load_word(control_.block().takeover.rehearsal_pidfd));
  if (control_.rehearsal_pid() != 0) waits.push_back({rehearsal, POLLIN, 0});
  timeout_ms = reaper_.add_waits(&waits, timeout_ms);
  ::poll(waits.data(), waits.size(), timeout_ms);
}

void KeeperProcess::read_signals() {
  abi::ControlBlock& block = control_.block();
  signalfd_siginfo info{};
  while (::read(static_cast<int>(block.signal_fd), &info, sizeof info) == sizeof info) {
    if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT) {
      store_word(block.stop_requested, block.stop_requested + 1);
      control_.wake_worker();
    } else if (info.ssi_signo == SIGHUP) {
      store_word(block.reload_count, block.reload_count + 1);
      control_.wake_worker();
      // Also for a worker that holds by itself, because it refused what it found.
      if (in_hold() || control_.worker_state() == abi::WorkerState::kHolding) {
        log_notice("leaving hold mode: another try");
        store_word(block.hold, uint64_t{0});
        killed_to_retry_ = true;
        deaths_.clear();
        worker_not_before_ = 0;
        kill_worker();
      }
    }
  }
}

void KeeperProcess::follow_config() {
  const abi::KeeperWords& words = control_.operators().keeper;
  const uint64_t number = load_word(words.number);
  if (number == 0 || number == followed_) return;
  followed_ = number;
  options_.most_deaths = static_cast<unsigned>(load_word(words.worker_deaths));
  deaths_.set_most(options_.most_deaths);
  set_log_level(static_cast<LogLevel>(load_word(words.log_level)));
  TakeoverOptions& takeover = options_.takeover;
  takeover.rehearsal_timeout_ns = load_word(words.rehearsal_timeout_ns);
  takeover.stop_timeout_ns = load_word(words.stop_timeout_ns);
  takeover.ready_timeout_ns = load_word(words.ready_timeout_ns);
  takeover.probation_ns = load_word(words.probation_ns);
}

void KeeperProcess::end_everything() {
  abi::ControlBlock& block = control_.block();
  store_word(block.ended, uint64_t{1});
  siginfo_t info{};
  if (const pid_t spare = control_.spare_pid(); spare != 0) {
    static_cast<void>(sys::pidfd_send_signal(BorrowedFd(block.spare_pidfd), SIGKILL));
    ::waitid(P_PID, static_cast<id_t>(spare), &info, WEXITED);
    store_word(block.spare_pid, int64_t{0});
  }
  settle_closer();
  // The worker has ended its services; what is left would be orphans.
  constexpr uint64_t kPatienceNs = 2'000'000'000;
  const uint64_t start = system_clock().now_ns();
  for (uint64_t now = start; now - start < kPatienceNs; now = system_clock().now_ns()) {
    size_t left = kill_unnamed(control_, {});
    for (const Stranger& stranger : list_strangers(control_)) {
      left += kill_stranger(control_, stranger.pid) ? 1 : 0;
    }
    left += kill_old_spare() ? 1 : 0;
    if (left == 0) break;
    wait(10);
    read_signals();
    reaper_.turn(now);
  }
}

}  // namespace outlive::machine
