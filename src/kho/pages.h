// Pages: the mapped file of an arena, its descriptors, and which pages are free. It knows nothing
// of the tracker and of the root FDT.
//
//   Unhappy: the file can't grow (memory, RLIMIT_FSIZE): ENOSPC, before the page is touched; a
//   shared mapping answers a touch that can't be served with SIGBUS.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "base/result.h"
#include "base/sys.h"
#include "base/unique_fd.h"
#include "kho/layout.h"
#include "kho/page_allocator.h"
#include "kho/phys.h"
#include "kho/store.h"
#include "kho/view.h"

namespace outlive::kho {

class Pages {
 public:
  // Maps the whole file, which the caller keeps open.
  static Result<std::unique_ptr<Pages>> map(BorrowedFd file, uint64_t size);

  // Header and descriptors of an empty arena; the compatible string, last of all, makes it one.
  Status format();
  void seal_format();

  // A zeroed INTENT folio. Fault point kho.alloc.
  Result<Phys> alloc(unsigned order, uint16_t owner, uint32_t tag);
  // DYING, zeroed, FREE. `descriptor` is what the folio has now.
  void free(uint64_t page, uint64_t descriptor);

  uint64_t descriptor(uint64_t page) const { return load_word(table_ + page); }
  void set_descriptor(uint64_t page, uint64_t value) { store_word(table_ + page, value); }

  View view() const { return View(memory_.data(), memory_.size()); }
  std::byte* bytes(uint64_t page) const { return memory_.data() + (page << abi::kPageShift); }
  uint64_t* words(uint64_t page) const { return reinterpret_cast<uint64_t*>(bytes(page)); }
  // A word of the header by its offset: the header is packed, so it has no pointers to members.
  uint64_t header_word(size_t offset) const { return load_word(header_pointer(offset)); }
  void set_header_word(size_t offset, uint64_t value) { store_word(header_pointer(offset), value); }

  uint64_t count() const { return view().pages(); }
  uint64_t high_water() const { return high_water_; }
  uint64_t free_pages() const { return allocator_.free_pages() + count() - high_water_; }
  BorrowedFd file() const { return file_; }

  // For attach: what the validated image says.
  void adopt_high_water() { high_water_ = header_word(offsetof(abi::ArenaHeader, high_water)); }
  void adopt_free(uint64_t first, uint64_t end) { allocator_.give_range(first, end); }
  // Gives the pages that were never handed out back to the system.
  void trim();
  // Asked before the file gets so many more bytes: an error is alloc()'s. Nothing set: no limit but
  // the file's size.
  void ask_before_growth(std::function<Status(uint64_t bytes)> ask) { may_grow_ = std::move(ask); }

 private:
  Pages(BorrowedFd file, sys::Mapping memory);
  uint64_t* header_pointer(size_t offset) const {
    return reinterpret_cast<uint64_t*>(memory_.data() + offset);
  }
  bool has_hole(uint64_t from, uint64_t bytes) const;
  Status give_room(uint64_t from, uint64_t bytes);
  Status grow(unsigned order);
  Status back_descriptors(uint64_t first, uint64_t end);
  Status back(uint64_t page, unsigned order);
  bool punch(uint64_t page, unsigned order);

  BorrowedFd file_;
  sys::Mapping memory_;
  uint64_t* table_;
  uint64_t high_water_;
  PageAllocator allocator_;
  std::vector<bool> backed_;  // chunks whose pages the file surely has
  std::function<Status(uint64_t)> may_grow_;
};

}  // namespace outlive::kho
