#include "daemon/totals.h"

#include <errno.h>

#include <algorithm>

namespace outlive::daemon {

void count_time(abi::HistogramWords& histogram, uint64_t ns) {
  const auto bound = std::ranges::lower_bound(abi::kHistogramBoundsUs, (ns + 999) / 1000);
  count(histogram.buckets[static_cast<size_t>(bound - std::begin(abi::kHistogramBoundsUs))]);
  count(histogram.sum_ns, ns);
}

void count_request(abi::MetricTotals& totals, uint16_t request, int code) {
  const auto number = static_cast<uint64_t>(std::clamp(code, 0, 0xffff));
  const uint64_t key = uint64_t{1} << 32 | uint64_t{request} << 16 | number;
  size_t at = (key * 0x9e3779b97f4a7c15u) >> 56;  // 256 places
  for (size_t i = 0; i < abi::kRequestCounts; ++i, at = (at + 1) % abi::kRequestCounts) {
    abi::RequestCount& one = totals.requests[at];
    if (one.key == 0) {
      machine::store_word(one.count, uint64_t{1});
      machine::store_word(one.key, key);
      return;
    }
    if (one.key == key) {
      count(one.count);
      return;
    }
  }
  if (request != 0) count_request(totals, 0, 0);
}

void count_update(abi::MetricTotals& totals, const abi::UpdateSlot& update) {
  if (static_cast<abi::UpdateStep>(update.step) == abi::UpdateStep::kCancelled) {
    count(totals.updates_cancelled[static_cast<size_t>(cancel_reason(update.result))]);
    return;
  }
  count(totals.updates_committed);
  count_time(totals.blackout, update.blackout_ns);
}

abi::CancelReason cancel_reason(int64_t code) {
  switch (code) {
    case ECANCELED:
      return abi::CancelReason::kVeto;
    case ECHILD:
      return abi::CancelReason::kDeath;
    case ETIMEDOUT:
      return abi::CancelReason::kDeadline;
    case ECONNRESET:
      return abi::CancelReason::kDisconnected;
    case EPROTO:
      return abi::CancelReason::kUnreadable;
    default:
      return abi::CancelReason::kOther;
  }
}

const char* name_of(abi::CancelReason reason) {
  static constexpr const char* kNames[] = {"veto",         "death",   "deadline",
                                           "disconnected", "version", "other"};
  static_assert(std::size(kNames) == static_cast<size_t>(abi::CancelReason::kCount));
  const auto index = static_cast<size_t>(reason);
  return index < std::size(kNames) ? kNames[index] : "other";
}

}  // namespace outlive::daemon
