#include "client/memory_heap.h"

#include <string.h>

#include <array>
#include <bit>

namespace outlive::client {
namespace {

using abi::MemoryClass;
using abi::MemoryKind;
using abi::MemoryPage;

constexpr auto kClasses = [] {
  std::array<MemoryClass, abi::kMemoryClasses> classes{};
  for (uint32_t i = 0; i < classes.size(); ++i) classes[i] = abi::memory_class(i);
  return classes;
}();

// `count` (0 to 64) bits set, from the lowest.
constexpr uint64_t low_bits(uint32_t count) {
  return count >= 64 ? ~uint64_t{0} : (uint64_t{1} << count) - 1;
}

Error damaged() {
  return fail(EUCLEAN, "the region's spans are damaged");
}

}  // namespace

Result<uint64_t> MemoryHeap::allocate(uint64_t bytes) {
  if (bytes <= abi::kMemoryMostSmall) return allocate_small(abi::memory_class_of(bytes));
  return allocate_large(bytes);
}

Result<uint64_t> MemoryHeap::allocate_large(uint64_t bytes) {
  if (bytes > abi::kMemoryMostBytes)
    return fail(ENOSPC, "{} bytes are more than any region", bytes);
  const uint64_t count = (bytes + abi::kMemoryPageSize - 1) >> abi::kMemoryPageShift;
  const uint64_t page = TRY(runs_->take(count));
  MemoryPage& entry = table_->at(page);
  entry.run = static_cast<uint32_t>(count);
  entry.kind = static_cast<uint8_t>(MemoryKind::kLarge);
  table_->header().allocated += count << abi::kMemoryPageShift;
  table_->header().blocks += 1;
  return page << abi::kMemoryPageShift;
}

Result<uint64_t> MemoryHeap::allocate_small(uint32_t clazz) {
  abi::MemoryHeader& header = table_->header();
  const MemoryClass& shape = kClasses[clazz];
  if (header.partial[clazz] == 0) TRY(make_span(clazz));
  const uint64_t page = header.partial[clazz];
  MemoryPage& span = table_->at(page);
  // A hostile list may lead to something else: then there is no map to look into.
  if (!MemoryTable::is(span, MemoryKind::kSpan) || span.clazz != clazz || span.map == 0 ||
      !table_->exists(page + shape.pages - 1)) [[unlikely]] {
    table_->set_broken();
    return damaged();
  }
  const uint32_t slot = take_slot(span, page, shape);
  if (slot >= shape.slots) [[unlikely]] {
    table_->set_broken();
    return damaged();
  }
  span.free -= 1;
  if (span.map == 0) unlink(page, clazz);
  header.allocated += shape.size;
  header.blocks += 1;
  return (page << abi::kMemoryPageShift) + shape.head + uint64_t{slot} * shape.size;
}

Status MemoryHeap::make_span(uint32_t clazz) {
  const MemoryClass& shape = kClasses[clazz];
  const uint64_t page = TRY(runs_->take(shape.pages));
  for (uint32_t i = 1; i < shape.pages; ++i) {
    MemoryPage& tail = table_->at(page + i);
    tail.run = static_cast<uint32_t>(page);
    tail.kind = static_cast<uint8_t>(MemoryKind::kSpanTail);
  }
  MemoryPage& span = table_->at(page);
  span.clazz = static_cast<uint8_t>(clazz);
  span.free = shape.slots;
  span.run = shape.pages;
  span.map = low_bits(shape.slots);
  if (shape.head != 0) {
    const uint32_t full = shape.slots / 64;
    uint64_t* words = words_of(page);
    memset(words, 0, shape.head);
    for (uint32_t i = 0; i < full; ++i) words[i] = ~uint64_t{0};
    if (shape.slots % 64 != 0) words[full] = low_bits(shape.slots % 64);
    span.map = low_bits((shape.slots + 63) / 64);
  }
  span.kind = static_cast<uint8_t>(MemoryKind::kSpan);
  link(page, clazz);
  return {};
}

uint32_t MemoryHeap::take_slot(MemoryPage& span, uint64_t page, const MemoryClass& shape) {
  const uint32_t first = static_cast<uint32_t>(std::countr_zero(span.map));
  const uint64_t first_bit = uint64_t{1} << first;
  if (shape.head == 0) {
    span.map &= ~first_bit;
    return first;
  }
  uint64_t& word = words_of(page)[first];
  if (word == 0) return shape.slots;  // the summary lies
  const uint32_t second = static_cast<uint32_t>(std::countr_zero(word));
  word &= word - 1;
  if (word == 0) span.map &= ~first_bit;
  return first * 64 + second;
}

MemoryHeap::Slot MemoryHeap::find_slot(uint64_t offset) {
  uint64_t page = offset >> abi::kMemoryPageShift;
  if (!table_->exists(page)) return {};
  const MemoryPage* entry = &table_->at(page);
  if (MemoryTable::is(*entry, MemoryKind::kSpanTail)) {
    page = entry->run;
    if (!table_->exists(page)) return {};
    entry = &table_->at(page);
  }
  if (!MemoryTable::is(*entry, MemoryKind::kSpan) || entry->clazz >= kClasses.size()) return {};
  const MemoryClass& shape = kClasses[entry->clazz];
  const uint64_t inside = offset - (page << abi::kMemoryPageShift) - shape.head;
  if (inside >= uint64_t{shape.slots} * shape.size) return {};  // also when it is in the head
  const uint32_t narrow = static_cast<uint32_t>(inside);
  if (narrow % shape.size != 0) return {};
  return Slot{page, narrow / shape.size, entry->clazz};
}

bool MemoryHeap::is_free(const Slot& slot) {
  if (kClasses[slot.clazz].head == 0) return table_->at(slot.span).map >> slot.index & 1;
  return words_of(slot.span)[slot.index / 64] >> (slot.index % 64) & 1;
}

Status MemoryHeap::free(uint64_t offset) {
  const Slot slot = find_slot(offset);
  if (slot.span != 0 && !is_free(slot)) {
    free_slot(slot);
    return {};
  }
  const uint64_t page = offset >> abi::kMemoryPageShift;
  if (slot.span != 0 || offset % abi::kMemoryPageSize != 0 || !table_->exists(page) ||
      !MemoryTable::is(table_->at(page), MemoryKind::kLarge)) {
    return fail(EINVAL, "no block starts at offset {}{}", offset,
                slot.span != 0 ? ": it has been freed already" : "");
  }
  MemoryPage& entry = table_->at(page);
  const uint64_t count = entry.run;
  if (count == 0 || !table_->exists(page + count - 1)) {
    table_->set_broken();
    return damaged();
  }
  entry = {};
  table_->header().allocated -= count << abi::kMemoryPageShift;
  table_->header().blocks -= 1;
  runs_->give(page, count);
  return {};
}

void MemoryHeap::free_slot(const Slot& slot) {
  abi::MemoryHeader& header = table_->header();
  const MemoryClass& shape = kClasses[slot.clazz];
  MemoryPage& span = table_->at(slot.span);
  if (span.map == 0) link(slot.span, slot.clazz);
  if (shape.head == 0) {
    span.map |= uint64_t{1} << slot.index;
  } else {
    words_of(slot.span)[slot.index / 64] |= uint64_t{1} << (slot.index % 64);
    span.map |= uint64_t{1} << (slot.index / 64);
  }
  span.free += 1;
  header.allocated -= shape.size;
  header.blocks -= 1;
  const bool only_one = span.next == 0 && span.prev == 0;
  if (span.free != shape.slots || only_one) return;
  unlink(slot.span, slot.clazz);
  for (uint32_t i = 0; i < shape.pages; ++i) table_->at(slot.span + i) = {};
  if (!table_->broken()) runs_->give(slot.span, shape.pages);
}

uint64_t MemoryHeap::usable(uint64_t offset) {
  const Slot slot = find_slot(offset);
  if (slot.span != 0) return is_free(slot) ? 0 : kClasses[slot.clazz].size;
  const uint64_t page = offset >> abi::kMemoryPageShift;
  if (offset % abi::kMemoryPageSize != 0 || !table_->exists(page)) return 0;
  const MemoryPage& entry = table_->at(page);
  if (!MemoryTable::is(entry, MemoryKind::kLarge)) return 0;
  return uint64_t{entry.run} << abi::kMemoryPageShift;
}

void MemoryHeap::link(uint64_t page, uint32_t clazz) {
  uint32_t& first = table_->header().partial[clazz];
  MemoryPage& span = table_->at(page);
  span.next = first;
  span.prev = 0;
  if (first != 0) table_->at(first).prev = static_cast<uint32_t>(page);
  first = static_cast<uint32_t>(page);
}

void MemoryHeap::unlink(uint64_t page, uint32_t clazz) {
  MemoryPage& span = table_->at(page);
  if (span.next != 0) table_->at(span.next).prev = span.prev;
  if (span.prev != 0) {
    table_->at(span.prev).next = span.next;
  } else {
    table_->header().partial[clazz] = span.next;
  }
  span.next = 0;
  span.prev = 0;
}

}  // namespace outlive::client
