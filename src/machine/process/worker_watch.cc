#include "machine/process/worker_watch.h"

#include <algorithm>

namespace outlive::machine {

void HeartbeatWatch::reset(uint64_t now_ns) {
  heartbeat_ = 0;
  last_turn_ns_ = now_ns;
  still_ns_ = 0;
}

bool HeartbeatWatch::hangs(uint64_t now_ns, uint64_t heartbeat, abi::WorkerState state) {
  const uint64_t longest_turn = static_cast<uint64_t>(turn_ms()) * 2'000'000;
  still_ns_ += std::min(now_ns - last_turn_ns_, longest_turn);
  last_turn_ns_ = now_ns;
  if (heartbeat != heartbeat_) {
    heartbeat_ = heartbeat;
    still_ns_ = 0;
  }
  const bool attaching = state == abi::WorkerState::kAttaching;
  return still_ns_ > (attaching ? std::max(timeout_ns_, attach_timeout_ns_) : timeout_ns_);
}

int HeartbeatWatch::turn_ms() const {
  return static_cast<int>(std::clamp<uint64_t>(timeout_ns_ / 4'000'000, 1, 1000));
}

bool DeathHistory::note(uint64_t now_ns) {
  deaths_.push_back(now_ns);
  while (now_ns - deaths_.front() > window_ns_) deaths_.pop_front();
  return deaths_.size() > most_;
}

}  // namespace outlive::machine
