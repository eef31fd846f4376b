// Two judges of a process's life, without clock or processes of their own.
#pragma once

#include <cstdint>
#include <deque>

#include "abi/control_block.h"

namespace outlive::machine {

// Says when a worker (or the keeper) hangs: its heartbeat has stood still for the time-out. Counts
// the time in the turns of who watches, so that a pause of both (a stopped machine, Ctrl-Z) is
// nobody's fault.
class HeartbeatWatch {
 public:
  HeartbeatWatch(uint64_t timeout_ns, uint64_t attach_timeout_ns)
      : timeout_ns_(timeout_ns), attach_timeout_ns_(attach_timeout_ns) {}

  // A new worker.
  void reset(uint64_t now_ns);
  // Each turn of the keeper. True: it hangs.
  bool hangs(uint64_t now_ns, uint64_t heartbeat, abi::WorkerState state);
  // How often hangs() must be called at least, in ms.
  int turn_ms() const;

 private:
  uint64_t timeout_ns_;
  uint64_t attach_timeout_ns_;
  uint64_t heartbeat_ = 0;
  uint64_t last_turn_ns_ = 0;
  uint64_t still_ns_ = 0;  // how long the heartbeat has stood still
};

// Says when a worker dies too often to go on. Three bounds, for who kills it from outside (a test,
// an impatient operator) shall not stop what would work, and whatever loops shall stop:
//   - more than `most` deaths of its own doing within the window
//   - more than kFromOutside * `most` deaths of any kind within the window
//   - more than `most` deaths in a row before it had got so far as to serve, however slowly
class DeathHistory {
 public:
  static constexpr uint64_t kFromOutside = 30;

  DeathHistory(uint64_t most, uint64_t window_ns) : most_(most), window_ns_(window_ns) {}
  // `served`: it had got to WorkerState::kServing. True: too many.
  bool note(uint64_t now_ns, abi::DeathKind kind, bool served);
  void clear();
  void set_most(uint64_t most) { most_ = most; }

 private:
  size_t recent(std::deque<uint64_t>& deaths, uint64_t now_ns) const;

  uint64_t most_;
  uint64_t window_ns_;
  std::deque<uint64_t> all_;
  std::deque<uint64_t> own_;
  uint64_t unserved_ = 0;  // in a row
};

}  // namespace outlive::machine
