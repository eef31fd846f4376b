#include "client/memory_runs.h"

#include <fcntl.h>

#include <algorithm>
#include <bit>

#include "base/sys.h"

namespace outlive::client {
namespace {

using abi::MemoryKind;
using abi::MemoryPage;

constexpr int kLookedAt = 8;             // entries of a bin whose runs may be too short
constexpr uint64_t kGiveBackPages = 16;  // 1 MiB
constexpr uint64_t kLeastGrowth = 16;    // 1 MiB
constexpr uint64_t kMostGrowth = 256;    // 16 MiB
constexpr uint8_t kind_of(MemoryKind kind) {
  return static_cast<uint8_t>(kind);
}

}  // namespace

uint64_t MemoryRuns::find(uint64_t count) {
  const abi::MemoryHeader& header = table_->header();
  const uint32_t bin = abi::memory_bin_of(count);
  uint64_t page = header.bins[bin];
  for (int i = 0; i < kLookedAt && page != 0; ++i) {
    const MemoryPage& entry = table_->at(page);
    if (entry.run >= count) return page;
    page = entry.next;
  }
  const uint32_t from = bin + 1;
  for (uint32_t word = from / 64; word < abi::kMemoryBins / 64; ++word) {
    uint64_t bits = header.bin_map[word];
    if (word == from / 64) bits &= ~uint64_t{0} << (from % 64);
    if (bits == 0) continue;
    page = header.bins[word * 64 + static_cast<uint32_t>(std::countr_zero(bits))];
    // A lying map must not make a run of us that is too short or not there.
    if (table_->at(page).run < count) table_->set_broken();
    return table_->broken() ? 0 : page;
  }
  return 0;
}

Result<uint64_t> MemoryRuns::take(uint64_t count) {
  if (count > table_->most()) {
    return fail(ENOSPC, "{} MiB are more than the region's limit of {} MiB", count >> 4,
                table_->most() >> 4);
  }
  uint64_t page = find(count);
  if (page == 0 && !table_->broken()) {
    TRY(grow(count));
    page = find(count);
  }
  const MemoryPage entry = table_->at(page);
  if (table_->broken() || !MemoryTable::is(entry, MemoryKind::kFree) || entry.run < count ||
      page + entry.run > table_->end()) {
    table_->set_broken();
    return fail(EUCLEAN, "the region's free runs are damaged");
  }
  if (entry.flags & abi::kMemoryHoles) {
    TRY(allocate(page << abi::kMemoryPageShift, count << abi::kMemoryPageShift)
            .context("memory that was given back"));
  }
  remove(page);
  if (entry.run > count) insert(page + count, entry.run - count, entry.flags);
  return page;
}

void MemoryRuns::give(uint64_t page, uint64_t count) {
  join(page, count, count >= kGiveBackPages && give_back(page, count) ? abi::kMemoryHoles : 0);
}

void MemoryRuns::join(uint64_t page, uint64_t count, uint8_t flags) {
  if (page + count < table_->end()) {
    const MemoryPage after = table_->at(page + count);
    if (MemoryTable::is(after, MemoryKind::kFree)) {
      remove(page + count);
      count += after.run;
      flags |= after.flags;
    }
  }
  if (page > table_->first()) {
    const MemoryPage last = table_->at(page - 1);
    const bool is_tail = MemoryTable::is(last, MemoryKind::kFreeTail);
    if (is_tail || MemoryTable::is(last, MemoryKind::kFree)) {
      const uint64_t head = is_tail ? last.run : page - 1;
      const MemoryPage before = table_->at(head);
      remove(head);
      count += before.run;
      flags |= before.flags;
      page = head;
    }
  }
  insert(page, count, flags);
}

void MemoryRuns::insert(uint64_t page, uint64_t count, uint8_t flags) {
  if (count == 0 || count > table_->header().pages || !table_->exists(page) ||
      page + count > table_->end()) {
    table_->set_broken();
    return;
  }
  abi::MemoryHeader& header = table_->header();
  const uint32_t bin = abi::memory_bin_of(count);
  const uint32_t old_first = header.bins[bin];
  MemoryPage& entry = table_->at(page);
  entry = {};
  entry.flags = flags;
  entry.run = static_cast<uint32_t>(count);
  entry.next = old_first;
  entry.kind = kind_of(MemoryKind::kFree);
  if (count > 1) {
    MemoryPage& tail = table_->at(page + count - 1);
    tail = {};
    tail.run = static_cast<uint32_t>(page);
    tail.kind = kind_of(MemoryKind::kFreeTail);
  }
  if (old_first != 0) table_->at(old_first).prev = static_cast<uint32_t>(page);
  header.bins[bin] = static_cast<uint32_t>(page);
  header.bin_map[bin / 64] |= uint64_t{1} << (bin % 64);
}

void MemoryRuns::remove(uint64_t page) {
  const MemoryPage entry = table_->at(page);
  if (entry.run == 0 || entry.run > table_->header().pages) {
    table_->set_broken();
    return;
  }
  abi::MemoryHeader& header = table_->header();
  const uint32_t bin = abi::memory_bin_of(entry.run);
  if (entry.next != 0) table_->at(entry.next).prev = entry.prev;
  if (entry.prev != 0) {
    table_->at(entry.prev).next = entry.next;
  } else {
    header.bins[bin] = entry.next;
    if (entry.next == 0) header.bin_map[bin / 64] &= ~(uint64_t{1} << (bin % 64));
  }
  table_->at(page + entry.run - 1) = {};
  table_->at(page) = {};
}

bool MemoryRuns::give_back(uint64_t page, uint64_t count) {
  // While an update is on its way the file stays as it was preserved. A failure costs memory only.
  if (growth_forbidden_) return false;
  return static_cast<bool>(sys::fallocate(file_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                          page << abi::kMemoryPageShift,
                                          count << abi::kMemoryPageShift));
}

// EPERM without a seal: the kernel preserves the file for its own update, and does so before
// anybody is asked to prepare.
Status MemoryRuns::allocate(uint64_t at, uint64_t bytes) {
  Status status = sys::fallocate(file_, 0, at, bytes);
  if (status || status.error().code != EPERM) return status;
  const auto seals = sys::get_seals(file_);
  if (!seals || (*seals & F_SEAL_GROW) != 0) return status;
  return fail(EBUSY,
              "the kernel preserves it for an update of the kernel that is on its way: its "
              "size can't change before that is over");
}

Status MemoryRuns::grow(uint64_t count) {
  const uint64_t pages = table_->header().pages;
  const uint64_t room = table_->most() - pages;
  uint64_t free_at_end = 0;
  if (pages > 0) {
    const MemoryPage last = table_->at(table_->end() - 1);
    if (MemoryTable::is(last, MemoryKind::kFree)) free_at_end = 1;
    if (MemoryTable::is(last, MemoryKind::kFreeTail)) free_at_end = table_->end() - last.run;
  }
  const uint64_t needed = free_at_end < count ? count - free_at_end : count;
  if (growth_forbidden_) {
    return fail(EBUSY, "the region is full ({} MiB) and can't grow before the update is over",
                pages >> 4);
  }
  if (needed > room) {
    return fail(ENOSPC, "the region is full: {} of at most {} MiB, a run of {} KiB is missing",
                pages >> 4, table_->most() >> 4, needed << 6);
  }
  const uint64_t step = std::clamp(pages / 8, kLeastGrowth, kMostGrowth);
  const uint64_t wanted = std::min(std::max(needed, step), room);
  Status status = extend(wanted);
  if (!status && wanted > needed) status = extend(needed);
  return status;
}

Status MemoryRuns::extend(uint64_t count) {
  abi::MemoryHeader& header = table_->header();
  const uint64_t pages = header.pages;
  const uint64_t entry_bytes = sizeof(MemoryPage) * count;
  TRY(allocate(abi::kMemoryHeaderSize + sizeof(MemoryPage) * pages, entry_bytes)
          .context("page table for {} MiB", count >> 4));
  TRY(allocate(table_->end() << abi::kMemoryPageShift, count << abi::kMemoryPageShift)
          .context("{} KiB for the region", count << 6));
  std::fill_n(table_->entries() + pages, count, MemoryPage{});
  const uint64_t page = table_->end();
  header.pages = pages + count;
  join(page, count, 0);
  return {};
}

}  // namespace outlive::client
