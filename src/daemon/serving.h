// Serving: a worker that has taken up the inherited state and serves, until it is told to stop.
//
// Happy path:   attach() -> start() -> run(). Of a binary that takes over: commit() after attach().
// Unhappy path: an error of attach() has changed nothing that a next one would need: the state is
//               refused (worker.cc). An error of the loop ends the worker, and there is another
//               one.
// Threads: the worker's only one. Ownership: all that is not in the shared table or the arena.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "daemon/control_server.h"
#include "daemon/device.h"
#include "daemon/fleet_report.h"
#include "daemon/hand_over.h"
#include "daemon/host_update.h"
#include "daemon/ledger.h"
#include "daemon/operators.h"
#include "daemon/recorder.h"
#include "daemon/self_update.h"
#include "daemon/watchdog.h"
#include "daemon/worker.h"

namespace outlive::daemon {

// The part of the core's host that exists before the loop does: fds that attach wants closed wait.
struct Releases {
  FdStore* store = nullptr;
  std::vector<BorrowedFd> early;
  void take(BorrowedFd fd) { store != nullptr ? store->release(fd) : early.push_back(fd); }
};

class Serving {
 public:
  Serving(WorkerInput& input, machine::WorkerContext& context)
      : input_(input), control_(context.control), context_(context) {}

  Status attach();
  // Of a binary that takes over: from here on it is the one. An error: it must not.
  Status commit();
  Status start();
  int run();
  // To the fleet: machine_refused, what was refused before this start.
  void report();

 private:
  Status attach_core(luo::Context& context);
  uint64_t lease_ns(const abi::SessionSlot& session) const;
  void enter_table();
  Result<std::vector<UniqueFd>> take_table();
  std::vector<BorrowedFd> own_fds() const;
  void tell_of_keeper();
  Status turn();
  void reap();
  void kill_strangers();
  uint64_t timeout_ns() const;

  WorkerInput& input_;
  machine::Control& control_;
  machine::WorkerContext& context_;
  Releases releases_;
  Recorder recorder_;
  Watchdog watchdog_;
  std::unique_ptr<kho::Arena> arena_;
  Supervisor supervisor_;
  std::unique_ptr<luo::Core> core_;
  std::unique_ptr<Loop> loop_;
  std::unique_ptr<machine::Closer> closer_;
  std::unique_ptr<FdStore> store_;
  std::unique_ptr<machine::LaunchQueue> launches_;
  std::unique_ptr<machine::Opener> opener_;
  std::unique_ptr<Parts> parts_;
  std::unique_ptr<Device> device_;
  std::unique_ptr<ControlServer> server_;
  std::unique_ptr<SelfUpdate> self_update_;
  std::unique_ptr<Operators> operators_;
  std::unique_ptr<HostUpdate> host_update_;
  std::optional<HandOver> hand_over_;
  FleetReport fleet_{control_};
  std::vector<UniqueFd> found_;  // accepted connections of a dead worker
  std::unique_ptr<Ledger> ledger_;
  kho::AttachReport arena_report_;
  LeakLedger corrected_;
  uint64_t next_look_ns_ = 0;
  uint64_t next_feed_ns_ = 0;
  bool stop_begun_ = false, stopped_ = false;
};

}  // namespace outlive::daemon
