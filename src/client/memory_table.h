// MemoryTable: a region's header and page table as the allocator uses them.
//
// Nothing here trusts the image: an entry that isn't there is answered by a scratch entry and sets
// broken(), so that the allocator's code runs on without a branch a step and without a wild access;
// whoever started the operation looks at broken() at its end and leaves the region odd.
#pragma once

#include <cstddef>
#include <cstdint>

#include "abi/memory.h"

namespace outlive::client {

class MemoryTable {
 public:
  MemoryTable() = default;
  // `first` and `most` come from a header that has been checked (memory_header.h).
  MemoryTable(std::byte* base, uint64_t first, uint64_t most)
      : base_(base), first_(first), most_(most) {}

  std::byte* base() const { return base_; }
  abi::MemoryHeader& header() const { return *reinterpret_cast<abi::MemoryHeader*>(base_); }
  uint64_t first() const { return first_; }
  uint64_t most() const { return most_; }
  uint64_t end() const { return first_ + header().pages; }  // page after the last

  bool exists(uint64_t page) const { return page - first_ < header().pages; }
  abi::MemoryPage& at(uint64_t page) {
    if (!exists(page)) [[unlikely]]
      return scratch();
    return entries()[page - first_];
  }
  // The entry's place; for growth, which writes it before it exists.
  abi::MemoryPage* entries() const {
    return reinterpret_cast<abi::MemoryPage*>(base_ + abi::kMemoryHeaderSize);
  }
  std::byte* memory_of(uint64_t page) const { return base_ + (page << abi::kMemoryPageShift); }
  static bool is(const abi::MemoryPage& entry, abi::MemoryKind kind) {
    return entry.kind == static_cast<uint8_t>(kind);
  }

  bool broken() const { return broken_; }
  void set_broken() { broken_ = true; }
  void clear_broken() { broken_ = false; }

 private:
  abi::MemoryPage& scratch() {
    broken_ = true;
    scratch_ = {};
    return scratch_;
  }

  std::byte* base_ = nullptr;
  uint64_t first_ = 0;
  uint64_t most_ = 0;
  bool broken_ = false;
  abi::MemoryPage scratch_{};
};

}  // namespace outlive::client
