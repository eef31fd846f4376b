// The keeper's state and turns; run_keeper (keeper.h) drives it. The spare has a copy of it from
// its clone, and goes on with that when it takes over.
#pragma once

#include <memory>
#include <optional>

#include "machine/process/keeper.h"
#include "machine/process/launcher.h"
#include "machine/process/reaper.h"
#include "machine/process/takeover.h"
#include "machine/process/worker_watch.h"

namespace outlive::machine {

class KeeperProcess {
 public:
  KeeperProcess(Control& control, KeeperOptions options);

  // Limits, fd table, signals, window. Before the first clone.
  Status set_up();
  // The loop; the exit code.
  int run();
  // Instead of run(): worker_main in this process, which has to call turns of ours.
  int run_inside();

 private:
  Status set_up_signals();
  Status set_up_taken_over();
  // One look at everything.
  void turn();
  // In every turn, and in whatever takes longer: a keeper whose heartbeat stands still is killed by
  // the spare.
  void beat();
  int rest_ms() const;
  void wait(int timeout_ms);
  void read_signals();
  // What the worker has reloaded for us.
  void follow_config();
  uint64_t followed_ = 0;  // KeeperWords::number

  // --- the worker (keeper_worker.cc) ---
  void start_worker();
  [[noreturn]] void run_worker();
  void settle_closer();
  void check_worker();
  void worker_ended(const ChildExit& exit);
  abi::DeathKind kind_of(const ChildExit& exit) const;
  // A binary that takes over is another try, and the end of the hold mode once it has committed.
  bool in_hold() const {
    const abi::TakeoverState state = takeover_.state();
    return load_word(control_.block().hold) != 0 && state != abi::TakeoverState::kExecd &&
           state != abi::TakeoverState::kCommitted;
  }
  void check_heartbeat();
  void kill_worker();

  // --- the spare (keeper_spare.cc) ---
  void check_spare();
  bool spare_is_due() const;
  void start_spare();
  bool spare_is_dead();
  [[noreturn]] void run_spare();
  void take_over();
  void become_keeper();
  void await_dead(int32_t* pidfd_word, const char* whom);

  // --- another binary: keeper's side (keeper_takeover.cc) ---
  void check_takeover();
  int takeover_rest_ms(int rest) const;
  void start_rehearsal();
  void check_rehearsal();
  void rehearsed(bool ok, std::string_view said);
  void refuse_takeover(int error, std::string_view why);
  void execute_next();
  void see_worker_gone();
  Status try_execute();
  std::vector<BorrowedFd> own_fds() const;
  Status let_cross();
  void settle_commit();
  // The spare of the table before, once the takeover is decided: until it is gone that table is
  // open, with all that clients believe closed. False: it is.
  bool kill_old_spare();
  // A worker's end: true: it has to do with a takeover, and is dealt with.
  bool takeover_took(const ChildExit& exit);
  bool faulty(const ChildExit& exit);
  void go_back(std::string_view why);
  // --- spare's side (keeper_revert.cc) ---
  bool is_old_spare() const;
  int spare_rest_ms(int dormant) const;
  // Looks at the takeover. True: go on waiting; false: the keeper's death is an ordinary one.
  bool watch_takeover(bool keeper_died);
  void revert(bool keeper_died);
  std::optional<ChildExit> end_on_probation() const;
  void settle_after_death(const std::optional<ChildExit>& end);

  // --- the end ---
  void end_everything();

  Control& control_;
  KeeperOptions options_;
  std::optional<Launcher> launcher_;
  Reaper reaper_;
  Takeover takeover_;
  uint64_t entered_ = 0;  // number of the takeover by which this binary came; 0: started
  pid_t old_spare_ = 0;   // of the table before; our child, unless another keeper made us
  std::string nonce_;     // of the rehearsal that goes on
  std::string heard_;     // from it
  HeartbeatWatch heartbeat_;
  DeathHistory deaths_;
  bool killed_to_retry_ = false;  // out of hold mode: no death to count
  bool killed_for_hang_ = false;
  uint64_t worker_not_before_ = 0;  // when there is none: when to try the next
  uint64_t spare_not_before_ = 0;
  std::optional<int> end_code_;
};

}  // namespace outlive::machine
