#include "kho/pages.h"

#include <unistd.h>

#include <algorithm>

#include "base/check.h"
#include "base/fault.h"
#include "base/mutant.h"

namespace outlive::kho {

namespace {

// Folios of this order and above are whole chunks: their pages go back to the system.
constexpr unsigned kPunchOrder = 9;
static_assert(order_pages(kPunchOrder) == kChunkPages);

constexpr uint64_t align_up(uint64_t value, uint64_t to) {
  return (value + to - 1) / to * to;
}

}  // namespace

Pages::Pages(BorrowedFd file, sys::Mapping memory)
    : file_(file),
      memory_(std::move(memory)),
      table_(words(kDescriptorPage)),
      high_water_(first_free_page(count())),
      allocator_(count()),
      backed_(align_up(count(), kChunkPages) / kChunkPages, false) {}

Result<std::unique_ptr<Pages>> Pages::map(BorrowedFd file, uint64_t size) {
  sys::Mapping memory =
      TRY(sys::mmap(size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, file));
  return std::unique_ptr<Pages>(new Pages(file, std::move(memory)));
}

Status Pages::format() {
  const uint64_t own = first_free_page(count());
  TRY(sys::fallocate(file_, 0, 0, kDescriptorPage * abi::kPageSize));
  TRY(back_descriptors(0, own));
  for (uint64_t page = 0; page < own; ++page) set_descriptor(page, kMetaDescriptor);
  set_header_word(offsetof(abi::ArenaHeader, size), memory_.size());
  set_header_word(offsetof(abi::ArenaHeader, descriptors), kDescriptorPage * abi::kPageSize);
  set_header_word(offsetof(abi::ArenaHeader, high_water), own);
  return {};
}

void Pages::seal_format() {
  char compatible[sizeof(abi::ArenaHeader::compatible)] = {};
  std::copy_n(abi::kArenaCompatible, sizeof(abi::kArenaCompatible), compatible);
  store_bytes(memory_.data(), compatible, sizeof(compatible));
}

Result<Phys> Pages::alloc(unsigned order, uint16_t owner, uint32_t tag) {
  if (const int code = fault("kho.alloc")) return fail(code, "arena: injected");
  if (order > abi::kMaxOrder) {
    return fail(EINVAL, "arena: order {} is above {}", order, abi::kMaxOrder);
  }
  uint64_t page = allocator_.take(order);
  if (page == PageAllocator::kNone) [[unlikely]] {
    TRY(grow(order));
    page = allocator_.take(order);
    CHECK(page != PageAllocator::kNone);
  }
  if (!backed_[page / kChunkPages] || order > kPunchOrder) [[unlikely]] {
    Status backed = back(page, order);
    if (!backed) {
      allocator_.give(page, order);
      return backed.take_error();
    }
  }
  set_descriptor(page, abi::make_descriptor(abi::PageState::kIntent, order, owner, tag));
  return Phys::of_page(page);
}

void Pages::free(uint64_t page, uint64_t descriptor) {
  const unsigned order = abi::descriptor_order(descriptor);
  set_descriptor(
      page, abi::make_descriptor(abi::PageState::kDying, order, abi::descriptor_owner(descriptor),
                                 abi::descriptor_tag(descriptor)));
  const bool kept = mutant("freed-page-not-zeroed");
  if (!kept && (order < kPunchOrder || !punch(page, order)))
    zero_bytes(bytes(page), order_bytes(order));
  set_descriptor(page, 0);
  allocator_.give(page, order);
}

void Pages::trim() {
  const uint64_t from = high_water_ << abi::kPageShift;
  if (from == memory_.size()) return;
  // As a rule there is nothing, and to see that is ten times as fast as to punch a hole into it.
  const off_t begin = static_cast<off_t>(from);
  const off_t data = ::lseek(file_.get(), begin, SEEK_DATA);
  if (data == -1 && errno == ENXIO) return;
  // A system that can't is no error: the pages are only not given back.
  static_cast<void>(sys::fallocate(file_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, from,
                                   memory_.size() - from));
}

// Raises the high water so that there is a block of this order.
Status Pages::grow(unsigned order) {
  const uint64_t start = align_up(high_water_, order_pages(order));
  if (start > count() || order_pages(order) > count() - start) {
    return fail(ENOSPC,
                "arena: full, no folio of {} pages is free ({} of {} pages are): it needs a larger "
                "arena-max, or less in it",
                order_pages(order), free_pages(), count());
  }
  const uint64_t end = std::min(align_up(start + order_pages(order), kChunkPages), count());
  TRY(back_descriptors(high_water_, end));
  set_header_word(offsetof(abi::ArenaHeader, high_water), end);
  const uint64_t first = std::exchange(high_water_, end);
  allocator_.give_range(first, end);
  return {};
}

bool Pages::has_hole(uint64_t from, uint64_t bytes) const {
  const off_t hole = ::lseek(file_.get(), static_cast<off_t>(from), SEEK_HOLE);
  return hole < static_cast<off_t>(from + bytes);
}

Status Pages::give_room(uint64_t from, uint64_t bytes) {
  // What an attach doesn't know yet may be there all the same.
  if (may_grow_ && has_hole(from, bytes)) TRY(may_grow_(bytes));
  Status backed = sys::fallocate(file_, 0, from, bytes);
  if (!backed) return fail(ENOSPC, "arena: its file can't grow: {}", backed.error().message);
  return {};
}

Status Pages::back_descriptors(uint64_t first, uint64_t end) {
  const uint64_t table = kDescriptorPage * abi::kPageSize;
  const uint64_t from = first / kDescriptorsPerPage * abi::kPageSize;
  const uint64_t to = align_up(end, kDescriptorsPerPage) / kDescriptorsPerPage * abi::kPageSize;
  return give_room(table + from, to - from);
}

Status Pages::back(uint64_t page, unsigned order) {
  const uint64_t first = page / kChunkPages;
  const uint64_t last = (page + order_pages(order) - 1) / kChunkPages;
  bool missing = false;
  for (uint64_t chunk = first; chunk <= last; ++chunk) missing |= !backed_[chunk];
  if (!missing) return {};
  const uint64_t from = first * kChunkBytes;
  const uint64_t to = std::min((last + 1) * kChunkBytes, uint64_t{memory_.size()});
  if (Status room = give_room(from, to - from); !room) {
    // None for the rest of the chunk; but these pages may be there.
    if (has_hole(page << abi::kPageShift, order_bytes(order))) return room;
    return {};
  }
  for (uint64_t chunk = first; chunk <= last; ++chunk) backed_[chunk] = true;
  return {};
}

bool Pages::punch(uint64_t page, unsigned order) {
  if (store_hook_armed) run_store_hook(bytes(page), order_bytes(order));
  if (!sys::fallocate(file_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, page << abi::kPageShift,
                      order_bytes(order))) {
    return false;
  }
  for (uint64_t chunk = page / kChunkPages; chunk < (page + order_pages(order)) / kChunkPages;
       ++chunk) {
    backed_[chunk] = false;
  }
  return true;
}

}  // namespace outlive::kho
