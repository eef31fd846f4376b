#include "daemon/throttle.h"

#include <algorithm>

namespace outlive::daemon {
namespace {

constexpr size_t kManyBuckets = 1024;  // then it is looked which of them are full again

}  // namespace

void Throttle::heard(uint64_t uid, uint64_t now_ns) {
  if (uid != last_uid_) other_ns_ = last_ns_;
  last_uid_ = uid;
  last_ns_ = now_ns;
  const auto bucket = buckets_.find(uid);
  if (bucket == buckets_.end() || !bucket->second.waits) served_ns_ = now_ns;
}

bool Throttle::is_shared(uint64_t uid, uint64_t now_ns) const {
  const uint64_t other_ns = uid == last_uid_ ? other_ns_ : last_ns_;
  return other_ns != 0 && now_ns - other_ns < kPresenceNs;
}

void Throttle::fill(Bucket& bucket, uint64_t now_ns) const {
  const uint64_t gained = (now_ns - bucket.filled_ns) * percent_ / 100;
  if (gained == 0) return;  // not yet: a rest would be lost each time
  bucket.filled_ns = now_ns;
  bucket.credit_ns =
      std::min(bucket.credit_ns + static_cast<int64_t>(std::min(gained, 2 * kBurstNs)),
               static_cast<int64_t>(kBurstNs));
}

void Throttle::charge(uint64_t uid, uint64_t ns, uint64_t now_ns) {
  if (percent_ >= 100) return;
  if (buckets_.size() >= kManyBuckets) forget_full(now_ns);
  const auto [found, made] = buckets_.try_emplace(uid);
  Bucket& bucket = found->second;
  if (made) bucket.filled_ns = now_ns;
  fill(bucket, now_ns);
  bucket.credit_ns =
      std::max(bucket.credit_ns - static_cast<int64_t>(ns), -static_cast<int64_t>(kMostDebtNs));
  if (bucket.credit_ns <= 0) bucket.waits = true;
}

uint64_t Throttle::wait_ns(uint64_t uid, uint64_t now_ns) {
  const auto found = buckets_.find(uid);
  if (found == buckets_.end() || !found->second.waits) return 0;
  Bucket& bucket = found->second;
  fill(bucket, now_ns);
  if (is_shared(uid, now_ns)) {
    const auto enough = static_cast<int64_t>(kRestartNs);
    if (bucket.credit_ns < enough) {
      const auto missing = static_cast<uint64_t>(enough - bucket.credit_ns);
      return missing * 100 / std::max<uint64_t>(percent_, 1) + 1;
    }
    if (bucket.due_ns == 0) bucket.due_ns = now_ns;
    const uint64_t silent_ns = served_ns_ + kSilenceNs;
    if (now_ns < silent_ns && now_ns < bucket.due_ns + kLatestNs) return silent_ns - now_ns;
  }
  bucket.waits = false;
  bucket.due_ns = 0;
  return 0;
}

void Throttle::forget_full(uint64_t now_ns) {
  for (auto one = buckets_.begin(); one != buckets_.end();) {
    fill(one->second, now_ns);
    const bool full = one->second.credit_ns == static_cast<int64_t>(kBurstNs);
    one = full ? buckets_.erase(one) : std::next(one);
  }
}

}  // namespace outlive::daemon
