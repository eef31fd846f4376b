// The keeper's state and turns; run_keeper (keeper.h) drives it. The spare has a copy of it from
// its clone, and goes on with that when it takes over.
#pragma once

#include <memory>
#include <optional>

#include "machine/process/keeper.h"
#include "machine/process/launcher.h"
#include "machine/process/reaper.h"
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

  // --- the worker (keeper_worker.cc) ---
  void start_worker();
  [[noreturn]] void run_worker();
  void settle_closer();
  void check_worker();
  void worker_ended(const ChildExit& exit);
  abi::DeathKind kind_of(const ChildExit& exit) const;
  bool in_hold() const { return load_word(control_.block().hold) != 0; }
  void check_heartbeat();
  void kill_worker();

  // --- the spare (keeper_spare.cc) ---
  void check_spare();
  bool spare_is_due() const;
  void start_spare();
  bool spare_is_dead();
  [[noreturn]] void run_spare();
  void take_over();
  void await_dead(int32_t* pidfd_word, const char* whom);

  // --- the end ---
  void end_everything();

  Control& control_;
  KeeperOptions options_;
  std::optional<Launcher> launcher_;
  Reaper reaper_;
  HeartbeatWatch heartbeat_;
  DeathHistory deaths_;
  bool killed_to_retry_ = false;  // out of hold mode: no death to count
  bool killed_for_hang_ = false;
  uint64_t worker_not_before_ = 0;  // when there is none: when to try the next
  uint64_t spare_not_before_ = 0;
  std::optional<int> end_code_;
};

}  // namespace outlive::machine
