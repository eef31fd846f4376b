#include "daemon/fair_queue.h"

#include <algorithm>

namespace outlive::daemon {

void FairQueue::add(uint64_t uid, uint64_t key) {
  if (!waiting_.insert(key).second) return;
  auto user =
      std::find_if(users_.begin(), users_.end(), [&](const User& one) { return one.uid == uid; });
  if (user == users_.end()) user = users_.insert(users_.end(), User{uid, {}});
  user->keys.push_back(key);
}

std::optional<uint64_t> FairQueue::next() {
  if (users_.empty()) return std::nullopt;
  User user = std::move(users_.front());
  users_.pop_front();
  const uint64_t key = user.keys.front();
  user.keys.pop_front();
  waiting_.erase(key);
  if (!user.keys.empty()) users_.push_back(std::move(user));
  return key;
}

}  // namespace outlive::daemon
