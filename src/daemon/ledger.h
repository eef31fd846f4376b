// The ledger: what outlived's attaches had to give back, and how often it replaced itself. The
// control block has it while outlived lives, over deaths and execs; records of version 2 keep it
// with the arena.
//
// Threads: the worker's only one.
#pragma once

#include "luo/records.h"
#include "machine/process/control.h"

namespace outlive::daemon {

class Ledger {
 public:
  // `first`: the first worker of a control block goes on from what the records say.
  Ledger(const machine::Control& control, luo::Records& records, bool first);

  void add(uint64_t folios, uint64_t tracker, uint64_t orphans);
  abi::RecordsTotals totals() const;
  // Once a turn: what has changed goes into the records, if they have a place for it.
  void keep() { records_.keep_totals(totals()); }
  // Makes the records version 2. EBUSY while another binary may have to come back: it might not
  // read them.
  Status finalize(uint64_t now_ns);

 private:
  const machine::Control& control_;
  luo::Records& records_;
};

}  // namespace outlive::daemon
