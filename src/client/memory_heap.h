// MemoryHeap: allocate and free inside a region, in constant time.
//
// Up to 56 KiB a block is a slot of a span of its size class (abi/memory.h); above, a run of pages.
// A span is taken when every span of its class is full, and given back when its last block is freed
// (but one a class, so that one block that comes and goes doesn't take a span each time).
//
// How much is lost. Inside a block: at most a quarter (16 bytes up to 64; half for blocks above
// 56 KiB, whose unit is 64 KiB). Between blocks: the spans of a class are never more than the most
// blocks that it ever had at one time need, plus one; so
//     heap <= 1.15 x (sum over classes of the class's own peak) + 256 KiB a class in use
//             + what runs need, + one step of growth (an eighth, at most 16 MiB)
// which is about the peak of all when sizes don't change over time. Blocks don't move: a service
// that lets single blocks of one size pin spans, and then goes over to another size, pays for both.
//
// Every operation leaves broken() of the table set when it met a structure that can't be.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "client/memory_runs.h"
#include "client/memory_table.h"

namespace outlive::client {

class MemoryHeap {
 public:
  // Both outlive this object.
  MemoryHeap(MemoryTable& table, MemoryRuns& runs) : table_(&table), runs_(&runs) {}

  // The offset of at least `bytes` (0 counts as 1), 16-aligned; contents are what was there.
  Result<uint64_t> allocate(uint64_t bytes);
  // EINVAL: no block starts there, or it is free already; nothing has changed then.
  Status free(uint64_t offset);
  // Bytes of the block that starts at `offset`; 0: none does.
  uint64_t usable(uint64_t offset);

 private:
  struct Slot {
    uint64_t span = 0;  // its first page; 0: no slot
    uint32_t index = 0;
    uint32_t clazz = 0;
  };
  Result<uint64_t> allocate_large(uint64_t bytes);
  Result<uint64_t> allocate_small(uint32_t clazz);
  Status make_span(uint32_t clazz);
  uint32_t take_slot(abi::MemoryPage& span, uint64_t page, const abi::MemoryClass& shape);
  Slot find_slot(uint64_t offset);
  bool is_free(const Slot& slot);
  void free_slot(const Slot& slot);
  void link(uint64_t page, uint32_t clazz);
  void unlink(uint64_t page, uint32_t clazz);
  // The map of a span with more than 64 slots.
  uint64_t* words_of(uint64_t page) const {
    return reinterpret_cast<uint64_t*>(table_->memory_of(page));
  }

  MemoryTable* table_;
  MemoryRuns* runs_;
};

}  // namespace outlive::client
