// The counters of the metrics, in the control block (abi/operator_words.h): they only rise, also
// over deaths of the worker, which alone writes them. A death just between an event and its count
// may leave one out.
#pragma once

#include <cstdint>

#include "abi/operator_words.h"
#include "abi/records.h"
#include "machine/process/control.h"

namespace outlive::daemon {

inline void count(uint64_t& total, uint64_t more = 1) {
  machine::store_word(total, total + more);
}

// Into its bucket.
void count_time(abi::HistogramWords& histogram, uint64_t ns);
// How often one kind of request was answered with one errno (0: done). More kinds than there is
// room for are counted with request 0.
void count_request(abi::MetricTotals& totals, uint16_t request, int code);
// An update that is over: its blackout, or why it was cancelled.
void count_update(abi::MetricTotals& totals, const abi::UpdateSlot& update);
abi::CancelReason cancel_reason(int64_t code);
const char* name_of(abi::CancelReason reason);

}  // namespace outlive::daemon
