// Blocks: packed entries of one size in a chain of pages, each with a BlockHeader first.
//
// The writer owns its pages until commit(), which preserves them all or none. The reader believes
// nothing: every page must be one that `is_block` knows, none is reached twice, counts fit a page.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "base/result.h"
#include "kho/arena.h"

namespace outlive::kho {

class BlockWriter {
 public:
  BlockWriter(Arena& arena, uint16_t owner, size_t entry_size, uint32_t tag = 0);
  // Frees the pages that were not committed.
  ~BlockWriter();
  BlockWriter(const BlockWriter&) = delete;
  BlockWriter& operator=(const BlockWriter&) = delete;

  // `entry` has the entry size. ENOSPC.
  Status append(std::span<const std::byte> entry);
  template <class T>
  Status append(const T& entry) {
    return append(std::as_bytes(std::span(&entry, 1)));
  }
  // The first block, LIVE like all the others; 0 when nothing was appended. From here the chain is
  // the caller's.
  Result<Phys> commit();
  uint64_t count() const { return count_; }

 private:
  Arena& arena_;
  uint16_t owner_;
  uint32_t tag_;
  size_t entry_size_;
  uint64_t count_ = 0;
  std::vector<Phys> blocks_;
};

// Entries a page has room for.
constexpr size_t block_capacity(size_t entry_size) {
  return (abi::kPageSize - sizeof(abi::BlockHeader)) / entry_size;
}

// The blocks of a chain, in order. EUCLEAN when it is wrong or has more than `most` entries.
Result<std::vector<Phys>> block_chain(const View& view, Phys first, size_t entry_size,
                                      uint64_t most, const std::function<bool(Phys)>& is_block);
// Calls fn with the bytes of every entry, in order, after the whole chain was checked; the first
// error of fn ends it.
Status read_blocks(const View& view, Phys first, size_t entry_size, uint64_t most,
                   const std::function<bool(Phys)>& is_block,
                   const std::function<Status(std::span<const std::byte>)>& fn);
// In an arena, where blocks are LIVE pages of this owner.
Status read_blocks(const Arena& arena, uint16_t owner, Phys first, size_t entry_size, uint64_t most,
                   const std::function<Status(std::span<const std::byte>)>& fn);
// Frees a chain; EUCLEAN, and nothing is freed, when it is wrong.
Status free_blocks(Arena& arena, uint16_t owner, Phys first, size_t entry_size);

}  // namespace outlive::kho
