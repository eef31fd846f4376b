// MemoryRuns: hands out runs of 64 KiB pages of a region, and makes the region grow.
//
// take() finds a run in constant time: the bin of that length (a few entries are looked at), else
// the next bin that isn't empty. give() joins a run with free neighbours. Runs of 1 MiB or more
// give their memory back to the system; it is allocated again before anyone gets it, so that a full
// system is an error here and never a SIGBUS later.
// Growth: an eighth of the heap, at least 1 MiB and at most 16 MiB (the system takes some 4 ms to
// allocate that much, and nothing is served meanwhile), or what is asked for when that is more. An
// error leaves everything as it was.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "base/unique_fd.h"
#include "client/memory_table.h"

namespace outlive::client {

class MemoryRuns {
 public:
  // Both outlive this object.
  MemoryRuns(MemoryTable& table, BorrowedFd file) : table_(&table), file_(file) {}

  // `count` (at least 1) pages whose memory is allocated; their entries are kInterior. ENOSPC: the
  // region's limit; EBUSY: growth is forbidden; else fallocate's errno.
  Result<uint64_t> take(uint64_t count);
  // Frees `count` pages from `page`, which take() gave (or a part of them).
  void give(uint64_t page, uint64_t count);
  // Makes the heap `count` pages longer, exactly.
  Status extend(uint64_t count);

  void forbid_growth(bool forbidden) { growth_forbidden_ = forbidden; }

 private:
  uint64_t find(uint64_t count);
  Status grow(uint64_t count);
  Status allocate(uint64_t at, uint64_t bytes);
  void join(uint64_t page, uint64_t count, uint8_t flags);
  void insert(uint64_t page, uint64_t count, uint8_t flags);
  void remove(uint64_t page);
  bool give_back(uint64_t page, uint64_t count);

  MemoryTable* table_;
  BorrowedFd file_;
  bool growth_forbidden_ = false;
};

}  // namespace outlive::client
