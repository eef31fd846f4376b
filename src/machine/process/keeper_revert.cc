// The spare's part when another binary takes over. The exec has parted the tables: the *old* spare,
// which was cloned before it, still has the old table and the old code; the *new* one, cloned by
// the new binary, has the new ones. Which of them goes on is what one store of the state says:
//
//   committed: the old one leaves; the new one waits for the keeper's death, as any spare
//   reverted:  the new one leaves; the old one becomes the keeper, once it has seen everyone of the
//              new table dead
//
// It sees them dead by the pipe `life`: everyone of the new table has its write end, and nobody
// else once the old spare has closed its own. (Pidfds of the new table's processes are numbers of
// that table, of no use in this one.) A process leaves its memory before its descriptors, so what
// has hung up touches the arena no more.
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "base/clock.h"
#include "base/log.h"
#include "machine/process/keeper_process.h"

namespace outlive::machine {

using State = abi::TakeoverState;
using Outcome = abi::TakeoverResult;

namespace {

// How often an old spare looks at the state.
constexpr int kLookMs = 20;
constexpr int kLogEveryMs = 5000;
// Between being a zombie and being reaped nobody tells how a process ended.
constexpr int kExitCodeWaitMs = 20;

// How the keeper ended; code 0: nobody knows.
ChildExit end_of_keeper(const Control& control) {
  const BorrowedFd pidfd(load_word(control.block().keeper_pidfd));
  for (int waited = 0; waited < kExitCodeWaitMs; waited += 5) {
    if (const auto exit = exit_of_pidfd(control.keeper_pid(), pidfd)) return *exit;
    if (const auto exit = exit_of_zombie(control.keeper_pid())) return *exit;
    ::poll(nullptr, 0, 5);
  }
  return {control.keeper_pid(), 0, 0};
}

}  // namespace

bool KeeperProcess::is_old_spare() const {
  const State state = takeover_.state();
  const bool parted =
      state == State::kExecd || state == State::kCommitted || state == State::kReverted;
  return (parted && takeover_.number() != entered_) ||
         load_word(takeover_.block().committed) > entered_;
}

int KeeperProcess::spare_rest_ms(int dormant) const {
  return is_old_spare() ? kLookMs : dormant;
}

bool KeeperProcess::watch_takeover(bool keeper_died) {
  const State state = takeover_.state();
  if (!is_old_spare()) {
    if (!keeper_died) return true;
    // A new one whose keeper is dead before the commit: then there shall be none.
    if (takeover_.number() == entered_) takeover_.move(State::kExecd, State::kReverted);
    if (takeover_.number() == entered_ && takeover_.state() == State::kReverted) ::_exit(0);
    return false;
  }
  if (state == State::kCommitted || load_word(takeover_.block().committed) > entered_) ::_exit(0);
  const bool late = system_clock().now_ns() > load_word(takeover_.block().deadline_ns);
  if (state == State::kExecd && (keeper_died || late)) {
    takeover_.move(State::kExecd, State::kReverted);
  }
  if (takeover_.state() != State::kReverted) return true;
  revert(keeper_died);
  ::_exit(run());
}

void KeeperProcess::revert(bool keeper_died) {
  abi::ControlBlock& block = control_.block();
  abi::TakeoverBlock& takeover = takeover_.block();
  const BorrowedFd keeper(load_word(block.keeper_pidfd));
  if (!keeper_died) {
    takeover_.give_reason(fmt::format("the new binary was not ready within {} ms",
                                      options_.takeover.ready_timeout_ns / 1'000'000));
  }
  pollfd dead{keeper.get(), POLLIN, 0};
  static_cast<void>(sys::pidfd_send_signal(keeper, SIGKILL));
  while (::poll(&dead, 1, kLogEveryMs) != 1) log_warning("waiting for the new keeper to die");
  // Only now: before the exec this write end was the one that crosses.
  UniqueFd own_end(static_cast<int>(load_word(takeover.life_write_fd)));
  store_word(takeover.life_write_fd, int64_t{-1});
  own_end.reset();
  pollfd life{static_cast<int>(load_word(takeover.life_read_fd)), 0, 0};
  while (life.fd >= 0 && ::poll(&life, 1, kLogEveryMs) != 1) {
    log_warning("waiting for the new binary's processes to die");
  }
  const ChildExit end = end_of_keeper(control_);
  takeover_.give_reason(fmt::format("the new binary ended before it was ready: {}", end.text()));
  // The old worker, if the new keeper has not seen it dead: its pidfd is still one of this table.
  if (load_word(takeover.worker_gone) != takeover_.number()) {
    await_dead(&block.worker_pidfd, "worker");
  }
  // Numbers of the other table.
  store_word(takeover.spare_wake_fd, int64_t{-1});
  for (int32_t* word : {&block.worker_pidfd, &block.spare_pidfd, &block.closer_pidfd}) {
    store_word(*word, int32_t{-1});
  }
  become_keeper();
  // Not if somebody else killed it.
  const bool killed = end.code == CLD_KILLED && end.status == SIGKILL;
  if (!killed || !keeper_died) takeover_.blame_binary();
  takeover_.settle(Outcome::kRolledBack, 0, system_clock().now_ns());
  store_word(takeover.rollbacks, takeover.rollbacks + 1);
  log_warning("update of outlived rolled back: {}", takeover_.reason());
  takeover_.move(State::kReverted, State::kIdle);
}

// Before take_over() has forgotten its pidfd. Only on probation: the end is waited for.
std::optional<ChildExit> KeeperProcess::end_on_probation() const {
  const abi::TakeoverBlock& block = takeover_.block();
  if (load_word(block.previous_fd) < 0 || block.probation_of == 0 ||
      system_clock().now_ns() > block.probation_until_ns) {
    return std::nullopt;
  }
  return end_of_keeper(control_);
}

// A keeper that died while it had to do with a takeover, or on probation.
void KeeperProcess::settle_after_death(const std::optional<ChildExit>& end) {
  switch (takeover_.state()) {
    case State::kAsked:
    case State::kRehearsing:
    case State::kStopping:
    case State::kStopped:
      store_word(takeover_.block().rehearsal_pid, int64_t{0});  // dies with the keeper
      refuse_takeover(EAGAIN, "outlived's keeper died meanwhile: try again");
      return;
    default:
      break;  // kCommitted: check_takeover() settles it
  }
  if (end && faulty(*end)) go_back(fmt::format("the new binary's keeper: {}", end->text()));
}

}  // namespace outlive::machine
