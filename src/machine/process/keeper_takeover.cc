// The keeper's part in its own replacement: rehearsal, stop, exec; and, as the new binary's keeper,
// what follows the commit.
//
// Happy path:   asked -> rehearsal says ok -> the worker leaves -> exec (same pid) -> the new
//               worker commits -> settled, on probation
// Unhappy path: the rehearsal says no, dies, hangs: refused, the worker has served all the while;
//               exec fails: a worker of ours again; dead or late before the commit: the old spare
//               (keeper_revert.cc); own faults on probation: back to the binary before.
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "base/clock.h"
#include "base/log.h"
#include "machine/process/keeper_process.h"
#include "machine/process/rehearsal.h"

namespace outlive::machine {

using State = abi::TakeoverState;
using Outcome = abi::TakeoverResult;

namespace {

constexpr const char* kNotReady = "the new binary ended before it was ready";

}  // namespace

void KeeperProcess::check_takeover() {
  const uint64_t now = system_clock().now_ns();
  switch (takeover_.state()) {
    case State::kAsked:
      start_rehearsal();
      break;
    case State::kRehearsing:
      check_rehearsal();
      break;
    case State::kStopping:
      if (now > takeover_.block().deadline_ns) {
        refuse_takeover(EBUSY, "an update of a service, or a launch, would not end: try again");
      }
      break;
    case State::kStopped:
      execute_next();
      break;
    case State::kCommitted:
      settle_commit();
      break;
    default:
      break;
  }
}

int KeeperProcess::takeover_rest_ms(int rest) const {
  const State state = takeover_.state();
  if (state != State::kRehearsing && state != State::kStopping) return rest;
  return std::min(rest, 50);
}

// ---- rehearsal ----------------------------------------------------------------------------------

void KeeperProcess::start_rehearsal() {
  abi::TakeoverBlock& block = takeover_.block();
  // Opens descriptors: not while a worker looks for orphans.
  const abi::WorkerState state = control_.worker_state();
  if (state != abi::WorkerState::kServing && state != abi::WorkerState::kHolding) return;
  const uint64_t now = system_clock().now_ns();
  store_word(block.deadline_ns, now + options_.takeover.rehearsal_timeout_ns);
  if (!takeover_.move(State::kAsked, State::kRehearsing)) return;
  Result<Rehearsal> started = Rehearsal::start(
      BorrowedFd(static_cast<int>(block.binary_fd)), BorrowedFd(static_cast<int>(block.image_fd)),
      control_.config_file(), own_fds(), options_.takeover.argv);
  if (!started) {
    refuse_takeover(started.error().code, started.error().message);
    return;
  }
  nonce_ = started->nonce;
  heard_.clear();
  store_word(block.rehearsal_fd, int64_t{started->output.release()});
  store_word(block.rehearsal_pidfd, int64_t{started->pidfd.release()});
  store_word(block.rehearsal_pid, int64_t{started->pid});
  control_.wake_worker();  // it waits, so that table and copy of the arena are of one moment
}

void KeeperProcess::check_rehearsal() {
  abi::TakeoverBlock& block = takeover_.block();
  const pid_t pid = control_.rehearsal_pid();
  if (pid == 0) return;
  Rehearsal::read(BorrowedFd(static_cast<int>(block.rehearsal_fd)), &heard_);
  siginfo_t info{};
  ::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG);
  const bool ended = info.si_pid == pid;
  const bool late = system_clock().now_ns() > block.deadline_ns;
  if (!ended && !late) return;
  if (!ended) {
    static_cast<void>(
        sys::pidfd_send_signal(BorrowedFd(static_cast<int>(block.rehearsal_pidfd)), SIGKILL));
    ::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED);
  }
  store_word(block.rehearsal_pid, int64_t{0});
  Rehearsal::read(BorrowedFd(static_cast<int>(block.rehearsal_fd)), &heard_);
  if (late && !ended) {
    return rehearsed(false, fmt::format("it was not ready within {} ms",
                                        options_.takeover.rehearsal_timeout_ns / 1'000'000));
  }
  const ChildExit exit{pid, info.si_code, info.si_status};
  if (exit.code == CLD_KILLED && exit.status == SIGKILL) {
    return refuse_takeover(EAGAIN, "the rehearsal was killed: try again");
  }
  const RehearsalAnswer answer = Rehearsal::judge(heard_, nonce_);
  if (answer.ok && exit.code == CLD_EXITED && exit.status == 0) {
    Takeover::set_text(block.to, answer.version);
    store_word(block.warm_size, uint64_t{answer.warm.size()});
    memcpy(block.warm, answer.warm.data(), answer.warm.size());
    return rehearsed(true, answer.version);
  }
  rehearsed(false,
            answer.reason.empty()
                ? fmt::format("it is no outlived, or broken: it ended with {} and said nothing",
                              exit.text())
                : answer.reason);
}

void KeeperProcess::rehearsed(bool ok, std::string_view said) {
  abi::TakeoverBlock& block = takeover_.block();
  if (!ok) return refuse_takeover(ENOEXEC, fmt::format("the rehearsal: {}", said));
  takeover_.note(&abi::TakeoverTimes::rehearsed_ns, system_clock().now_ns());
  if (takeover_.only_rehearses()) {
    log_info("outlived {}: rehearsed", said);
    takeover_.settle(Outcome::kRehearsed, 0, system_clock().now_ns());
    takeover_.move(State::kRehearsing, State::kIdle);
    return control_.wake_worker();
  }
  log_info("outlived {}: rehearsed, taking over", said);
  store_word(block.deadline_ns, system_clock().now_ns() + options_.takeover.stop_timeout_ns);
  if (takeover_.move(State::kRehearsing, State::kStopping)) control_.wake_worker();
}

void KeeperProcess::refuse_takeover(int error, std::string_view why) {
  takeover_.give_reason(why);
  if (error == ENOEXEC) takeover_.blame_binary();
  takeover_.settle(Outcome::kRefused, error, system_clock().now_ns());
  log_warning("update of outlived refused: {}", why);
  const State state = takeover_.state();
  takeover_.move(state, State::kIdle);
  control_.wake_worker();
}

// ---- exec ---------------------------------------------------------------------------------------

// It ends while the new binary starts: that is time in which nobody would be answered.
void KeeperProcess::see_worker_gone() {
  siginfo_t info{};
  const pid_t pid = control_.worker_pid();
  if (pid != 0) ::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED);
  store_word(control_.block().worker_pid, int64_t{0});
  store_word(takeover_.block().worker_gone, takeover_.number());
}

bool KeeperProcess::takeover_took(const ChildExit& exit) {
  const bool handed_over = exit.code == CLD_EXITED && exit.status == kHandoverCode;
  if (takeover_.undecided()) {
    // The old spare goes on with the old binary; nothing that it needs may be touched.
    takeover_.give_reason(fmt::format("{}: its worker: {}", kNotReady, exit.text()));
    ::_exit(kRestartCode);
  }
  if (takeover_.state() == State::kStopped) {
    execute_next();
    return true;
  }
  if (handed_over) {
    start_worker();  // it left for a takeover that was given up at that moment
    return true;
  }
  if (!faulty(exit)) return false;
  abi::TakeoverBlock& block = takeover_.block();
  store_word(block.probation_deaths, block.probation_deaths + 1);
  if (block.probation_deaths <= options_.takeover.most_faults) return false;
  go_back(fmt::format("the new binary's worker: {}", exit.text()));
  return false;  // it could not: a death like any other
}

// The fault of a binary that is on probation, and not of who killed it.
bool KeeperProcess::faulty(const ChildExit& exit) {
  const abi::TakeoverBlock& block = takeover_.block();
  if (load_word(block.previous_fd) < 0 || block.probation_of == 0 || takeover_.busy()) return false;
  if (system_clock().now_ns() > block.probation_until_ns) return false;
  if (exit.code == CLD_EXITED && (exit.status == 0 || exit.status == kHandoverCode)) return false;
  return kind_of(exit) == abi::DeathKind::kOwn;
}

void KeeperProcess::go_back(std::string_view why) {
  abi::TakeoverBlock& block = takeover_.block();
  if (load_word(block.previous_fd) < 0 || !takeover_.begin_back(system_clock().now_ns())) return;
  block.reason[0] = '\0';
  takeover_.give_reason(why);
  log_error("{}: going back to the binary before", why);
  execute_next();
}

// There is no worker, or it does nothing but end. Returns only if it could not be done.
void KeeperProcess::execute_next() {
  const Status status = try_execute();
  const State state = takeover_.state();
  takeover_.give_reason(status.error().message);
  takeover_.settle(Outcome::kRefused, status.error().code, system_clock().now_ns());
  // The spare has taken us for late: it is the keeper by now.
  if (state == State::kReverted || !takeover_.move(state, State::kIdle)) ::_exit(kRestartCode);
  log_error("can't execute the new outlived: {}", status.error().text());
  see_worker_gone();
  start_worker();
}

Status KeeperProcess::try_execute() {
  abi::TakeoverBlock& block = takeover_.block();
  const bool back = takeover_.goes_back();
  takeover_.note(&abi::TakeoverTimes::stopped_ns, block.stopped_ns);
  settle_closer();
  launcher_->reset();
  // Whoever carries on if the new binary doesn't.
  siginfo_t info{};
  const pid_t spare = control_.spare_pid();
  if (spare != 0 && ::waitid(P_PID, static_cast<id_t>(spare), &info, WEXITED | WNOHANG) == 0 &&
      info.si_pid == spare) {
    store_word(control_.block().spare_pid, int64_t{0});
  }
  if (control_.spare_pid() == 0) start_spare();
  if (control_.spare_pid() == 0) return fail(EAGAIN, "no spare can be had");
  const BorrowedFd binary(static_cast<int>(back ? block.previous_fd : block.binary_fd));
  if (!back) {
    const UniqueFd older(static_cast<int>(load_word(block.previous_fd)));
    store_word(block.previous_fd, int64_t{-1});
    UniqueFd self = TRY(sys::open("/proc/self/exe", O_RDONLY));
    store_word(block.previous_fd, int64_t{self.release()});
    store_word(block.probation_of, uint64_t{0});
  }
  sys::Pipe life = TRY(sys::pipe());
  store_word(block.life_read_fd, int64_t{life.read.release()});
  store_word(block.life_write_fd, int64_t{life.write.release()});
  TRY(let_cross());
  std::vector<char*> argv;
  for (const std::string& word : options_.takeover.argv) {
    argv.push_back(const_cast<char*>(word.c_str()));
  }
  argv.push_back(nullptr);
  if (::setenv(abi::kTakeoverVariable, std::to_string(control_.fd().get()).c_str(), 1) != 0) {
    return fail_errno("setenv");
  }
  store_word(block.updates_before, block.updates);
  const uint64_t now = system_clock().now_ns();
  store_word(block.deadline_ns, now + options_.takeover.ready_timeout_ns);
  if (!takeover_.move(State::kStopped, State::kExecd)) return fail(EAGAIN, "given up");
  takeover_.note(&abi::TakeoverTimes::executed_ns, now);
  control_.wake_spare();
  ::syscall(SYS_execveat, binary.get(), "", argv.data(), environ, AT_EMPTY_PATH);
  const Error error = fail_errno("execveat");
  ::unsetenv(abi::kTakeoverVariable);
  return error;
}

std::vector<BorrowedFd> KeeperProcess::own_fds() const {
  std::vector<BorrowedFd> fds = control_.held_fds();
  const abi::TakeoverBlock& block = takeover_.block();
  for (const int64_t number : {block.arena_fd, block.device_fd, block.control_fd, block.lock_fd}) {
    fds.push_back(BorrowedFd(static_cast<int>(number)));
  }
  return fds;
}

// Descriptors that are held for clients have no CLOEXEC; these are the machine's and the daemon's
// own. They may stay so if the exec fails: launched children leave the table without them.
Status KeeperProcess::let_cross() {
  const LaunchWindow window = LaunchWindow::inherit(control_);
  for (const BorrowedFd fd : own_fds()) {
    if (fd >= window.at(0) && fd < window.end()) continue;  // never has it
    TRY(sys::set_cloexec(fd, false).context("fd {}", fd.get()));
  }
  return {};
}

// ---- after the commit ---------------------------------------------------------------------------

void KeeperProcess::settle_commit() {
  abi::TakeoverBlock& block = takeover_.block();
  const uint64_t now = system_clock().now_ns();
  // The pause is over when the worker says so, or is dead again.
  if (block.serving_ns == 0 && control_.worker_pid() != 0) return;
  if (takeover_.goes_back()) {
    abi::TakeoverOutcome& before = block.outcomes[block.probation_of % abi::kTakeoverOutcomes];
    if (before.number == block.probation_of && before.number != 0) {
      before.result = static_cast<uint64_t>(Outcome::kRolledBack);
      memcpy(before.reason, block.reason, sizeof before.reason);
      memcpy(block.from, before.from, sizeof block.from);
    }
    takeover_.blame_binary();
    using Times = abi::TakeoverTimes;
    takeover_.note_of(block.probation_of, &Times::back_ns, block.asked_ns);
    takeover_.note_of(block.probation_of, &Times::back_serving_ns,
                      block.serving_ns != 0 ? block.serving_ns : now);
    store_word(block.rollbacks, block.rollbacks + 1);
    store_word(block.probation_of, uint64_t{0});
    store_word(block.probation_until_ns, uint64_t{0});
    log_warning("outlived went back to the binary before: {}", takeover_.reason());
  } else {
    takeover_.settle(Outcome::kUpdated, 0, now);
    store_word(block.updates, block.updates_before + 1);
    store_word(block.failed_tries, uint64_t{0});
    store_word(block.probation_deaths, uint64_t{0});
    store_word(block.probation_until_ns, now + options_.takeover.probation_ns);
    store_word(block.probation_of, takeover_.number());
    log_notice(
        "outlived {} has taken over from {}: {} us in which nobody was answered",
        takeover_.text_of(block.to), takeover_.text_of(block.from),
        block.serving_ns > block.stopped_ns ? (block.serving_ns - block.stopped_ns) / 1000 : 0);
    memcpy(block.from, block.to, sizeof block.from);
  }
  store_word(control_.block().hold, uint64_t{0});
  store_word(block.committed, takeover_.number());
  takeover_.move(State::kCommitted, State::kIdle);
  kill_old_spare();
  control_.wake_worker();
}

bool KeeperProcess::kill_old_spare() {
  siginfo_t info{};
  // Only a child that nobody has waited for: its number is nobody else's.
  if (old_spare_ == 0 ||
      ::waitid(P_PID, static_cast<id_t>(old_spare_), &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
      info.si_pid == old_spare_) {
    old_spare_ = 0;
    return false;
  }
  ::kill(old_spare_, SIGKILL);
  return true;
}

}  // namespace outlive::machine
