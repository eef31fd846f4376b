#include "daemon/ledger.h"

#include "base/log.h"

namespace outlive::daemon {

using machine::load_word;
using machine::store_word;

Ledger::Ledger(const machine::Control& control, luo::Records& records, bool first)
    : control_(control), records_(records) {
  if (!first || !records.format().keeps_totals()) return;
  const abi::RecordsTotals kept = records.format().totals(records.root());
  add(kept.folios_reclaimed, kept.tracker_corrected, kept.orphans_closed);
  store_word(control.block().takeover.updates, kept.self_updates);
  store_word(control.block().takeover.rollbacks, kept.self_rollbacks);
}

void Ledger::add(uint64_t folios, uint64_t tracker, uint64_t orphans) {
  abi::ControlBlock& block = control_.block();
  store_word(block.folios_reclaimed, block.folios_reclaimed + folios);
  store_word(block.tracker_corrected, block.tracker_corrected + tracker);
  store_word(block.orphans_closed, block.orphans_closed + orphans);
}

abi::RecordsTotals Ledger::totals() const {
  const abi::ControlBlock& block = control_.block();
  return {load_word(block.folios_reclaimed), load_word(block.tracker_corrected),
          load_word(block.orphans_closed), load_word(block.takeover.updates),
          load_word(block.takeover.rollbacks)};
}

Status Ledger::finalize(uint64_t now_ns) {
  if (records_.format().keeps_totals()) return {};
  const abi::TakeoverBlock& takeover = control_.block().takeover;
  if (static_cast<abi::TakeoverState>(load_word(takeover.state) & 0xff) !=
      abi::TakeoverState::kIdle) {
    return fail(EBUSY, "an update of outlived is going on: try again when it is over");
  }
  if (takeover.probation_of != 0 && now_ns < load_word(takeover.probation_until_ns)) {
    return fail(EBUSY, "outlived is on probation for {} s more: the binary before may come back",
                (takeover.probation_until_ns - now_ns) / 1'000'000'000 + 1);
  }
  records_.finalize(totals());
  log_notice("the records are of version '{}' from now on", records_.format().compatible());
  return {};
}

}  // namespace outlive::daemon
