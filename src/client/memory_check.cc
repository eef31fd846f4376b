#include "client/memory_check.h"

#include <string.h>

#include <bit>
#include <string_view>
#include <vector>

#include "base/crc32c.h"

namespace outlive::client {
namespace {

using abi::MemoryClass;
using abi::MemoryHeader;
using abi::MemoryKind;
using abi::MemoryPage;

bool is(const MemoryPage& entry, MemoryKind kind) {
  return entry.kind == static_cast<uint8_t>(kind);
}

template <typename... Args>
Error unclean(fmt::format_string<Args...> format, Args&&... args) {
  return Error{EUCLEAN, fmt::format(format, std::forward<Args>(args)...)};
}

class Checker {
 public:
  explicit Checker(std::span<const std::byte> view) : view_(view) {
    memcpy(&header_, view.data(), sizeof header_);
    end_ = header_.first_page + header_.pages;
  }
  Status run();

 private:
  // Entries are copied before they are looked at: the file may change under us.
  MemoryPage at(uint64_t page) const {
    MemoryPage entry;
    const uint64_t offset = abi::kMemoryHeaderSize + sizeof entry * (page - header_.first_page);
    memcpy(&entry, view_.data() + offset, sizeof entry);
    return entry;
  }
  bool exists(uint64_t page) const { return page >= header_.first_page && page < end_; }

  Status check_free_run(uint64_t page, const MemoryPage& entry);
  Status check_span(uint64_t page, const MemoryPage& entry);
  Status check_map(uint64_t page, const MemoryPage& entry, const MemoryClass& shape) const;
  Status check_interior(uint64_t from, uint64_t until) const;
  Status check_bins() const;
  Status check_partial() const;
  template <typename Belongs>
  Status check_list(std::string_view what, uint64_t number, uint32_t first, uint64_t expected,
                    Belongs belongs) const;

  std::span<const std::byte> view_;
  MemoryHeader header_{};
  uint64_t end_ = 0;
  uint64_t allocated_ = 0;
  uint64_t blocks_ = 0;
  uint64_t bin_counts_[abi::kMemoryBins] = {};
  uint64_t partial_counts_[abi::kMemoryClasses] = {};
};

Status Checker::run() {
  bool free_before = false;
  uint64_t page = header_.first_page;
  while (page < end_) {
    const MemoryPage entry = at(page);
    if (entry.run == 0 || entry.run > end_ - page) {
      return unclean("page {}: a run of {} pages doesn't fit", page, entry.run);
    }
    const bool is_free = is(entry, MemoryKind::kFree);
    if (is_free) {
      if (free_before) return unclean("page {}: two free runs touch", page);
      TRY(check_free_run(page, entry));
    } else if (is(entry, MemoryKind::kSpan)) {
      TRY(check_span(page, entry));
    } else if (is(entry, MemoryKind::kLarge)) {
      TRY(check_interior(page + 1, page + entry.run));
      allocated_ += uint64_t{entry.run} << abi::kMemoryPageShift;
      blocks_ += 1;
    } else {
      return unclean("page {}: kind {} where a run must start", page, entry.kind);
    }
    free_before = is_free;
    page += entry.run;
  }
  if (allocated_ != header_.allocated || blocks_ != header_.blocks) {
    return unclean("the header counts {} bytes in {} blocks, there are {} in {}", header_.allocated,
                   header_.blocks, allocated_, blocks_);
  }
  TRY(check_bins());
  return check_partial();
}

Status Checker::check_interior(uint64_t from, uint64_t until) const {
  for (uint64_t page = from; page < until; ++page) {
    if (const MemoryPage entry = at(page); !is(entry, MemoryKind::kInterior)) {
      return unclean("page {}: kind {} inside a run", page, entry.kind);
    }
  }
  return {};
}

Status Checker::check_free_run(uint64_t page, const MemoryPage& entry) {
  bin_counts_[abi::memory_bin_of(entry.run)] += 1;
  if (entry.run == 1) return {};
  const uint64_t last = page + entry.run - 1;
  TRY(check_interior(page + 1, last));
  const MemoryPage tail = at(last);
  if (!is(tail, MemoryKind::kFreeTail) || tail.run != page) {
    return unclean("page {}: the free run's end doesn't lead back to it", page);
  }
  return {};
}

Status Checker::check_span(uint64_t page, const MemoryPage& entry) {
  if (entry.clazz >= abi::kMemoryClasses) {
    return unclean("page {}: size class {}", page, entry.clazz);
  }
  const MemoryClass shape = abi::memory_class(entry.clazz);
  if (entry.run != shape.pages || entry.free > shape.slots) {
    return unclean("page {}: a span of {} pages with {} free slots", page, entry.run, entry.free);
  }
  for (uint64_t i = 1; i < entry.run; ++i) {
    const MemoryPage tail = at(page + i);
    if (!is(tail, MemoryKind::kSpanTail) || tail.run != page) {
      return unclean("page {}: doesn't lead back to its span", page + i);
    }
  }
  TRY(check_map(page, entry, shape));
  if (entry.free > 0) partial_counts_[entry.clazz] += 1;
  allocated_ += uint64_t{shape.slots - entry.free} * shape.size;
  blocks_ += shape.slots - entry.free;
  return {};
}

Status Checker::check_map(uint64_t page, const MemoryPage& entry, const MemoryClass& shape) const {
  uint64_t words[abi::kMemoryMapBytes / 8] = {entry.map};
  uint64_t summary = 0;
  if (shape.head != 0) {
    memcpy(words, view_.data() + (page << abi::kMemoryPageShift), sizeof words);
  }
  uint64_t count = 0;
  for (uint32_t i = 0; i < std::size(words); ++i) {
    const uint32_t slots_before = 64 * i;
    const uint32_t slots = shape.slots > slots_before ? shape.slots - slots_before : 0;
    const uint64_t allowed = slots >= 64 ? ~uint64_t{0} : (uint64_t{1} << slots) - 1;
    if (words[i] & ~allowed) return unclean("page {}: its map has slots that aren't there", page);
    if (words[i] != 0) summary |= uint64_t{1} << i;
    count += static_cast<uint64_t>(std::popcount(words[i]));
  }
  if (shape.head != 0 && summary != entry.map) {
    return unclean("page {}: the map's summary is {:#x}, not {:#x}", page, entry.map, summary);
  }
  if (count != entry.free) {
    return unclean("page {}: {} free slots in the map, {} counted", page, count, entry.free);
  }
  return {};
}

template <typename Belongs>
Status Checker::check_list(std::string_view what, uint64_t number, uint32_t first,
                           uint64_t expected, Belongs belongs) const {
  uint64_t seen = 0;
  uint64_t before = 0;
  for (uint64_t page = first; page != 0;) {
    if (!exists(page)) return unclean("{} {}: page {} is outside", what, number, page);
    const MemoryPage entry = at(page);
    if (!belongs(entry)) return unclean("{} {}: page {} isn't of it", what, number, page);
    if (entry.prev != before) return unclean("{} {}: page {} has a wrong link", what, number, page);
    if (++seen > expected) return unclean("{} {}: more entries than there are", what, number);
    before = page;
    page = entry.next;
  }
  if (seen != expected) {
    return unclean("{} {}: {} entries of {} are on its list", what, number, seen, expected);
  }
  return {};
}

Status Checker::check_bins() const {
  for (uint32_t bin = 0; bin < abi::kMemoryBins; ++bin) {
    TRY(check_list("bin", bin, header_.bins[bin], bin_counts_[bin], [&](const MemoryPage& entry) {
      return is(entry, MemoryKind::kFree) && entry.run > 0 && abi::memory_bin_of(entry.run) == bin;
    }));
    const bool mapped = header_.bin_map[bin / 64] >> (bin % 64) & 1;
    if (mapped != (header_.bins[bin] != 0)) return unclean("bin {}: wrong in the map", bin);
  }
  return {};
}

Status Checker::check_partial() const {
  for (uint32_t clazz = 0; clazz < abi::kMemoryClasses; ++clazz) {
    TRY(check_list("size class", clazz, header_.partial[clazz], partial_counts_[clazz],
                   [&](const MemoryPage& entry) {
                     return is(entry, MemoryKind::kSpan) && entry.clazz == clazz && entry.free > 0;
                   }));
  }
  return {};
}

}  // namespace

Status check_memory_header(const MemoryHeader& given, uint64_t file_size) {
  const MemoryHeader header = given;  // it may change under us
  const std::string_view compatible(header.compatible,
                                    strnlen(header.compatible, sizeof header.compatible));
  if (compatible != abi::kMemoryCompatible) {
    if (compatible.starts_with(abi::kMemoryCompatiblePrefix)) {
      return fail(EPROTO, "the region is '{}', this program reads '{}'", compatible,
                  abi::kMemoryCompatible);
    }
    return fail(EPROTO, "not a memory region (no '{}' at its start)", abi::kMemoryCompatible);
  }
  const auto bytes = std::as_bytes(std::span(&header, 1)).first(offsetof(MemoryHeader, crc));
  if (crc32c(bytes) != header.crc) return unclean("the header's checksum is wrong");
  const uint64_t most = abi::kMemoryMostBytes >> abi::kMemoryPageShift;
  if (header.page_shift != abi::kMemoryPageShift || header.classes != abi::kMemoryClasses ||
      header.max_pages == 0 || header.max_pages > most) {
    return unclean("pages of 2^{} bytes, at most {} of them, in {} size classes: out of bounds",
                   header.page_shift, header.max_pages, header.classes);
  }
  const uint64_t table_end = abi::kMemoryHeaderSize + header.max_pages * sizeof(MemoryPage);
  if (header.first_page != (table_end + abi::kMemoryPageSize - 1) >> abi::kMemoryPageShift) {
    return unclean("the heap starts at page {}: out of bounds", header.first_page);
  }
  if (header.pages > header.max_pages ||
      file_size >> abi::kMemoryPageShift < header.first_page + header.pages) {
    return unclean("{} pages, but the file has {} bytes", header.pages, file_size);
  }
  if (header.name[sizeof header.name - 1] != '\0') return unclean("the name has no end");
  if (header.root >= (header.first_page + header.pages) << abi::kMemoryPageShift) {
    return unclean("the root is at {}: outside", header.root);
  }
  return {};
}

Status check_memory(std::span<const std::byte> view) {
  MemoryHeader header;
  memcpy(&header, view.data(), sizeof header);
  TRY(check_memory_header(header, view.size()));
  return Checker(view).run();
}

}  // namespace outlive::client
