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

bool DeathHistory::note(uint64_t now_ns, abi::DeathKind kind, bool served) {
  all_.push_back(now_ns);
  if (kind == abi::DeathKind::kOwn) own_.push_back(now_ns);
  unserved_ = served ? 0 : unserved_ + 1;
  return recent(own_, now_ns) > most_ || recent(all_, now_ns) > kFromOutside * most_ ||
         unserved_ > most_;
}

void DeathHistory::clear() {
  all_.clear();
  own_.clear();
  unserved_ = 0;
}

size_t DeathHistory::recent(std::deque<uint64_t>& deaths, uint64_t now_ns) const {
  while (!deaths.empty() && now_ns - deaths.front() > window_ns_) deaths.pop_front();
  return deaths.size();
}

}  // namespace outlive::machine
