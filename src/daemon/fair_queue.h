// FairQueue: whose request is next. Users take turns, and within a user its connections: one who
// keeps hundreds of them busy gets no more of a turn than one with a single request.
//
// Threads: one. Keys are addresses of ConnectionSlots.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <unordered_set>

namespace outlive::daemon {

class FairQueue {
 public:
  // Once, until it is taken.
  void add(uint64_t uid, uint64_t key);
  // The next one of the next user.
  std::optional<uint64_t> next();
  bool empty() const { return users_.empty(); }

 private:
  struct User {
    uint64_t uid;
    std::deque<uint64_t> keys;
  };
  std::deque<User> users_;  // the first one's turn it is; each has something to do
  std::unordered_set<uint64_t> waiting_;
};

}  // namespace outlive::daemon
