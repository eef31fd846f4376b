// Two judges of a worker's life, without clock or processes of their own.
#pragma once

#include <cstdint>
#include <deque>

#include "abi/control_block.h"

namespace outlive::machine {

// Says when a worker hangs: its heartbeat has stood still for the time-out. Counts the time in the
// keeper's own turns, so that a pause of both (a stopped machine, Ctrl-Z) is nobody's fault.
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

// Says when a worker dies too often to go on: more than `most` deaths within the window.
class DeathHistory {
 public:
  DeathHistory(unsigned most, uint64_t window_ns) : most_(most), window_ns_(window_ns) {}
  // True: too many.
  bool note(uint64_t now_ns);
  void clear() { deaths_.clear(); }

 private:
  unsigned most_;
  uint64_t window_ns_;
  std::deque<uint64_t> deaths_;
};

}  // namespace outlive::machine
