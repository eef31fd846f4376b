// Memory: a service's region (abi/memory.h) as this process has it mapped; what stands behind the
// outlive_memory_* functions.
//
// Two mappings. A region that came from someone else is seen through a read-only one until
// make_writable(): the one before it may still go on with it. The writable one is made at attach
// and filled by populate() while there is time, so that make_writable() only takes it into use:
// base() changes once, then, and pointers into the old view go on reading the same bytes. The whole
// limit is mapped at once: growing moves nothing.
//
// Crashes. The epoch word is odd while a change is being made (enter/leave; allocate and free do it
// themselves). Found odd, a region can be read, but not allocated from (EUCLEAN) before repaired().
// Threads: one at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/sys.h"
#include "base/unique_fd.h"
#include "client/memory_heap.h"
#include "client/memory_runs.h"
#include "client/memory_table.h"

namespace outlive::client {

class Memory {
 public:
  static constexpr uint64_t kDefaultLimit = uint64_t{64} << 30;

  // An empty memfd that a region can be made in.
  static Result<UniqueFd> new_file(std::string_view name);
  // Formats `file` (whatever it held is gone); the heap starts with `size` bytes and grows up to
  // `limit` (0: kDefaultLimit), both rounded up to 64 KiB. The region is writable at once.
  static Result<std::unique_ptr<Memory>> create(UniqueFd file, std::string_view name, uint64_t size,
                                                uint64_t limit);
  // Maps a region that is there, read-only until make_writable(). EPROTO: of another version;
  // EUCLEAN: its header is damaged; an odd one attaches. The file is sealed against shrinking, or
  // is now.
  static Result<std::unique_ptr<Memory>> attach(UniqueFd file);

  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  // Makes the writable mapping's page tables of all that the file holds now; changes no byte.
  // Takes some 200 ms a GiB: before the update, not in it. An error costs only that.
  Status populate();
  // While held (before `committed`), make_writable() is EPERM.
  void hold_writes(bool held) { writes_held_ = held; }
  // In microseconds, whatever the size.
  Status make_writable();
  bool writable() const { return base_ == writable_view_.data(); }
  // From the answer to prepare until commit or cancel: an allocation that needs the file to grow
  // fails with EBUSY, and nothing is given back to the system.
  void forbid_growth(bool forbidden) { runs_.forbid_growth(forbidden); }
  // Is that fd an open file of the same inode?
  Result<bool> same_file(BorrowedFd other) const;

  std::string name() const;
  BorrowedFd file() const { return file_; }
  std::byte* base() const { return base_; }
  uint64_t size() const;  // of the file
  uint64_t limit() const { return table_.most() << abi::kMemoryPageShift; }
  uint64_t allocated() const { return table_.header().allocated; }
  uint64_t blocks() const { return table_.header().blocks; }
  uint64_t epoch() const;

  // EPERM: not writable yet; EUCLEAN: found odd, or damaged; ENOSPC, ENOMEM, EBUSY: can't grow.
  Result<uint64_t> allocate(uint64_t bytes);
  Status free(uint64_t offset);
  uint64_t usable(uint64_t offset) const;
  uint64_t root() const;
  // EINVAL: outside of the heap; EPERM.
  Status set_root(uint64_t root);

  void enter();
  void leave();
  bool consistent() const { return (epoch() & 1) == 0; }
  // Marks an odd region even; EUCLEAN when check() finds something, EBUSY inside enter().
  Status repaired();
  Status check() const;

 private:
  Memory(UniqueFd file, sys::Mapping read_only, sys::Mapping writable);

  static Result<std::unique_ptr<Memory>> map(UniqueFd file, uint64_t first, uint64_t most,
                                             bool read_only_first);
  Status may_change() const;
  void use(std::byte* base, uint64_t first, uint64_t most);

  UniqueFd file_;
  sys::Mapping read_only_view_;
  sys::Mapping writable_view_;
  std::byte* base_ = nullptr;
  mutable MemoryTable table_;
  mutable MemoryRuns runs_;
  mutable MemoryHeap heap_;
  uint64_t depth_ = 0;    // of enter()
  bool own_odd_ = false;  // the epoch is odd because we made it so
  bool writes_held_ = false;
};

}  // namespace outlive::client

// The C handle.
struct outlive_memory {
  std::unique_ptr<outlive::client::Memory> memory;
  std::string name;                      // for outlive_memory_name()
  std::shared_ptr<void> registration{};  // with the client's Regions; gone before `memory` is
};
