// Throttle: how much of the worker's time a user may have while others want some, too.
//
// A token bucket a user: it fills with a share of the time, up to what makes a burst, and what the
// worker does for the user empties it. Who has emptied it waits, as his requests do in their
// sockets: a flood then costs no more than its share, on the processors as well, and leaves the
// rest to others. While nobody else is there, nothing is counted and nobody waits.
//
// Not for operators (root, and the user that outlived runs as): their services come first anyway.
//
// Threads: one. Times: the monotonic clock, ns.
#pragma once

#include <cstdint>
#include <unordered_map>

namespace outlive::daemon {

// The sooner one of two times; 0 is none.
constexpr uint64_t sooner(uint64_t one, uint64_t other) {
  return one == 0 || (other != 0 && other < one) ? other : one;
}

class Throttle {
 public:
  static constexpr uint64_t kBurstNs = 50'000'000;
  // Who has emptied his bucket goes on with this in it: seldom, and then for a while, is cheaper
  // for all than often.
  static constexpr uint64_t kRestartNs = 500'000;
  // Nor does anybody owe more, whatever a single request cost.
  static constexpr uint64_t kMostDebtNs = 10'000'000;
  // After a wait he goes on when the others have been silent for so long, so that he isn't in the
  // middle of what they are doing; but not that much later.
  static constexpr uint64_t kSilenceNs = 150'000;
  static constexpr uint64_t kLatestNs = 10'000'000;
  // So long a user counts as being there after he was heard of.
  static constexpr uint64_t kPresenceNs = 100'000'000;

  // `percent` of the time for each; 100: nobody ever waits.
  explicit Throttle(uint64_t percent) : percent_(percent) {}

  void set_share(uint64_t percent) { percent_ = percent; }

  // A user has something to say.
  void heard(uint64_t uid, uint64_t now_ns);
  // Is somebody else there? Otherwise nothing need be charged.
  bool is_shared(uint64_t uid, uint64_t now_ns) const;
  // What was done for him took so long.
  void charge(uint64_t uid, uint64_t ns, uint64_t now_ns);
  // So long he has to wait; 0: he may go on.
  uint64_t wait_ns(uint64_t uid, uint64_t now_ns);

 private:
  struct Bucket {
    int64_t credit_ns = static_cast<int64_t>(kBurstNs);
    uint64_t filled_ns = 0;
    uint64_t due_ns = 0;  // waited for long enough since then; 0: not yet
    bool waits = false;
  };
  void fill(Bucket& bucket, uint64_t now_ns) const;
  void forget_full(uint64_t now_ns);

  uint64_t percent_;
  std::unordered_map<uint64_t, Bucket> buckets_;  // of whom something was charged
  // The last one who was heard of, and the last one before who was somebody else.
  uint64_t last_uid_ = 0;
  uint64_t last_ns_ = 0;
  uint64_t other_ns_ = 0;
  uint64_t served_ns_ = 0;  // when somebody was heard of who need not wait
};

}  // namespace outlive::daemon
