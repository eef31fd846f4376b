#include "luo/records.h"

#include <string.h>

#include <algorithm>
#include <atomic>

#include "base/check.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/mutant.h"
#include "kho/store.h"

namespace outlive::luo {

using abi::PoolKind;
using abi::SlotHeader;
using abi::SlotState;
using kho::Phys;

namespace {

constexpr size_t kKinds = static_cast<size_t>(PoolKind::kCount);
constexpr uint64_t word_of(SlotState state) {
  return static_cast<uint64_t>(state);
}

bool is_zero(PoolKind kind, const SlotHeader& slot) {
  const auto* words = reinterpret_cast<const uint64_t*>(&slot);
  return std::all_of(words, words + abi::slot_size(kind) / sizeof(uint64_t),
                     [](uint64_t word) { return word == 0; });
}

}  // namespace

size_t Records::slots_a_page(PoolKind kind) {
  return (abi::kPageSize - abi::kPoolFirstSlot) / abi::slot_size(kind);
}

Result<std::unique_ptr<Records>> Records::create(kho::Arena& arena, kho::RootFdt& fdt) {
  std::unique_ptr<Records> records(new Records(arena, fdt));
  const Phys redo = TRY(
      arena.alloc_preserve(abi::kRedoPages * abi::kPageSize, abi::kOwnerRecords).context("redo"));
  const Result<Phys> page = arena.alloc_preserve(abi::kPageSize, abi::kOwnerRecords);
  if (!page) {
    arena.restore_free(redo);
    return page.error();
  }
  records->root_ = arena.object<abi::RecordsRoot>(*page);
  records->redo_ = arena.object<abi::RedoEntry>(redo);
  abi::RecordsRoot root{};
  memcpy(root.compatible, abi::kRecordsCompatible, sizeof abi::kRecordsCompatible);
  root.redo_list = redo.value;
  kho::store_bytes(records->root_, &root, sizeof root);
  const Status added = fdt.add_subtree(abi::kSubtreeRecords, *page, sizeof(abi::RecordsRoot));
  if (!added) {
    arena.restore_free(*page);
    arena.restore_free(redo);
    return added.error();
  }
  return records;
}

Result<std::unique_ptr<Records>> Records::attach(kho::Arena& arena, kho::RootFdt& fdt,
                                                 AttachReport* report) {
  const auto subtree = fdt.find_subtree(abi::kSubtreeRecords);
  if (!subtree) return fail(EUCLEAN, "subtree '{}' is missing", abi::kSubtreeRecords);
  if (subtree->size < sizeof(abi::RecordsRoot)) {
    return fail(EUCLEAN, "subtree '{}' is {} bytes, too short", abi::kSubtreeRecords,
                subtree->size);
  }
  std::unique_ptr<Records> records(new Records(arena, fdt));
  records->root_ = arena.object<abi::RecordsRoot>(subtree->data);
  if (records->root_ == nullptr) return fail(EUCLEAN, "records: root is outside the arena");
  records->format_ = TRY(RootFormat::of(*records->root_));
  const Phys redo{records->root_->redo_list};
  if (!arena.is_live(subtree->data, abi::kOwnerRecords) ||
      !arena.is_live(redo, abi::kOwnerRecords, abi::kRedoPages * abi::kPageSize)) {
    return fail(EUCLEAN, "records: root {:#x} or redo list {:#x} is no preserved folio of ours",
                subtree->data.value, redo.value);
  }
  records->redo_ = arena.object<abi::RedoEntry>(redo);
  TRY(records->load_pools());
  TRY(records->check_redo());
  AttachReport local;
  records->settle(report != nullptr ? report : &local);
  return records;
}

void Records::finalize(const abi::RecordsTotals& totals) {
  finalize_root(*root_, totals);
  format_ = &root_v2();
}

Status Records::load_pools() {
  for (size_t k = 0; k < kKinds; ++k) {
    const auto kind = static_cast<PoolKind>(k);
    for (uint64_t next = root_->pools[k]; next != 0;) {
      const auto* page = next % abi::kPageSize == 0
                             ? reinterpret_cast<abi::PoolPage*>(arena_.at(Phys{next}, 4096))
                             : nullptr;
      if (page == nullptr) return fail(EUCLEAN, "records: pool page {:#x} is no page", next);
      if (kind_of_page(next) != 0) {
        return fail(EUCLEAN, "records: pool page {:#x} is chained twice", next);
      }
      if (page->kind != k || page->slot_size != abi::slot_size(kind)) {
        return fail(EUCLEAN, "records: pool page {:#x} has kind {} size {}, expected {} {}", next,
                    page->kind, page->slot_size, k, abi::slot_size(kind));
      }
      if (!arena_.is_live(Phys{next}, abi::kOwnerRecords) || next == root_->redo_list ||
          next == address_of(root_)) {
        return fail(EUCLEAN, "records: pool page {:#x} is no preserved page of a pool", next);
      }
      set_kind_of_page(next, k + 1);
      pages_[k].push_back(next);
      next = page->next;
    }
  }
  for (size_t k = 0; k < kKinds; ++k) {
    for (const uint64_t address : pages_[k]) {
      for (size_t i = 0; i < slots_a_page(static_cast<PoolKind>(k)); ++i) {
        const auto* slot = reinterpret_cast<const SlotHeader*>(
            arena_.at(Phys{address}, 4096) + abi::kPoolFirstSlot +
            i * abi::slot_size(static_cast<PoolKind>(k)));
        if (slot->state > word_of(SlotState::kDying)) {
          return fail(EUCLEAN, "records: slot {} of page {:#x} has state {}", i, address,
                      slot->state);
        }
      }
    }
  }
  return {};
}

size_t Records::kind_of_page(uint64_t address) const {
  const uint64_t number = address / abi::kPageSize;
  return number < page_kind_.size() ? page_kind_[number] : 0;
}

void Records::set_kind_of_page(uint64_t address, size_t kind) {
  const uint64_t number = address / abi::kPageSize;
  if (page_kind_.size() <= number) page_kind_.resize(number + 1);
  page_kind_[number] = static_cast<uint8_t>(kind);
}

bool Records::has_redo() const {
  // 0 is no number: an unfinished list, also that of the very first change.
  return root_->redo_number != 0 && root_->redo_number == root_->committed;
}

Status Records::check_redo() const {
  if (!has_redo()) return {};
  if (root_->redo_count > abi::kMaxRedo) {
    return fail(EUCLEAN, "records: redo list of {} entries", root_->redo_count);
  }
  const uint64_t root_at = arena_.address_of(root_).value;
  for (uint64_t i = 0; i < root_->redo_count; ++i) {
    const uint64_t address = redo_[i].address;
    // What leads to the records themselves is never changed by a list.
    const bool in_root = address >= root_at + offsetof(abi::RecordsRoot, live_update_number) &&
                         address < root_at + sizeof *root_;
    const bool in_pool =
        kind_of_page(address) != 0 && address % abi::kPageSize >= abi::kPoolFirstSlot;
    if (address % 8 != 0 || (!in_root && !in_pool)) {
      return fail(EUCLEAN, "records: redo entry {} points to {:#x}", i, address);
    }
  }
  return {};
}

void Records::apply_redo() {
  for (uint64_t i = 0; i < root_->redo_count; ++i) {
    auto* word = reinterpret_cast<uint64_t*>(arena_.at(Phys{redo_[i].address}, 8));
    kho::store_word(word, redo_[i].value);
    ++changes_[kind_of_page(redo_[i].address)];
  }
}

// What was changed is not kept: values of a list outlive what they were for otherwise. The number
// goes first, or else a half cleared list would be taken for a valid one.
void Records::clear_redo(uint64_t entries) {
  if (root_->redo_number != 0) kho::store_word(&root_->redo_number, 0);
  if (entries != 0) kho::zero_bytes(redo_, entries * sizeof *redo_);
}

bool Records::redo_is_clear() const {
  const auto* words = reinterpret_cast<const uint64_t*>(redo_);
  return root_->redo_number == 0 &&
         std::all_of(words, words + abi::kRedoPages * abi::kPageSize / sizeof *words,
                     [](uint64_t word) { return word == 0; });
}

void Records::settle(AttachReport* report) {
  if (has_redo() && root_->redo_count != 0 && !mutant("redo-not-replayed")) {
    apply_redo();
    report->redo_applied = true;
  }
  if (!redo_is_clear()) {
    clear_redo(abi::kMaxRedo);
    report->redo_cleared = true;
  }
  for (size_t k = 0; k < kKinds; ++k) {
    const auto kind = static_cast<PoolKind>(k);
    for_each_slot(kind, [&](SlotHeader& slot) {
      // The whole word: a list may have stored what is no state at all.
      if (slot.state == word_of(SlotState::kLive)) {
        ++live_[k];
        return;
      }
      if (is_zero(kind, slot)) {
        free_[k].push_back(address_of(&slot));
        return;
      }
      if (slot.state == word_of(SlotState::kIntent)) {
        ++report->undone;
      } else if (slot.state == word_of(SlotState::kDying)) {
        ++report->finished;
      } else {
        ++report->zeroed;
      }
      give_back(kind, slot);
    });
  }
  report->pages_reclaimed =
      arena_.sweep(abi::kOwnerRecords, [this](Phys page) { return reaches(page); });
}

bool Records::reaches(Phys page) const {
  if (page.value == arena_.address_of(root_).value || page.value == root_->redo_list) return true;
  return kind_of_page(page.value) != 0;
}

Status Records::grow(PoolKind kind) {
  const size_t k = static_cast<size_t>(kind);
  const Phys page = TRY(arena_.alloc_preserve(abi::kPageSize, abi::kOwnerRecords));
  auto* header = arena_.object<abi::PoolPage>(page);
  const abi::PoolPage filled{root_->pools[k], static_cast<uint32_t>(k),
                             static_cast<uint32_t>(abi::slot_size(kind))};
  kho::store_bytes(header, &filled, sizeof filled);
  kho::store_word(&root_->pools[k], page.value);
  set_kind_of_page(page.value, k + 1);
  pages_[k].push_back(page.value);
  for (size_t i = slots_a_page(kind); i-- > 0;) {
    free_[k].push_back(page.value + abi::kPoolFirstSlot + i * abi::slot_size(kind));
  }
  return {};
}

Result<SlotHeader*> Records::take(PoolKind kind) {
  auto& list = free_[static_cast<size_t>(kind)];
  if (const int code = fault("luo.slot")) return fail(code, "a record: injected");
  if (list.empty()) TRY(grow(kind).context("a record"));
  auto* slot = reinterpret_cast<SlotHeader*>(arena_.at(Phys{list.back()}, abi::slot_size(kind)));
  list.pop_back();
  kho::store_word(&slot->state, word_of(SlotState::kIntent));
  return slot;
}

void Records::give_back(PoolKind kind, SlotHeader& slot) {
  // Bytes first, the state last: a FREE slot is always a zeroed one.
  kho::zero_bytes(&slot.id, abi::slot_size(kind) - sizeof slot.state);
  kho::store_word(&slot.state, word_of(SlotState::kFree));
  free_[static_cast<size_t>(kind)].push_back(address_of(&slot));
}

void Records::for_each_slot(PoolKind kind, const std::function<void(SlotHeader&)>& visit) {
  const size_t k = static_cast<size_t>(kind);
  for (size_t p = 0; p < pages_[k].size(); ++p) {
    std::byte* page = arena_.at(Phys{pages_[k][p]}, abi::kPageSize);
    for (size_t i = 0; i < slots_a_page(kind); ++i) {
      visit(*reinterpret_cast<SlotHeader*>(page + abi::kPoolFirstSlot + i * abi::slot_size(kind)));
    }
  }
}

SlotHeader* Records::find_slot(PoolKind kind, uint64_t address) {
  if (kind_of_page(address) != static_cast<size_t>(kind) + 1) return nullptr;
  const uint64_t within = address % abi::kPageSize;
  if (within < abi::kPoolFirstSlot) return nullptr;
  const uint64_t index = (within - abi::kPoolFirstSlot) / abi::slot_size(kind);
  if (index >= slots_a_page(kind)) return nullptr;
  if ((within - abi::kPoolFirstSlot) % abi::slot_size(kind) != 0) return nullptr;
  auto* slot = reinterpret_cast<SlotHeader*>(arena_.at(Phys{address}, abi::slot_size(kind)));
  return slot->state == word_of(SlotState::kLive) ? slot : nullptr;
}

Change::Change(Records& records) : records_(records), number_(records.root().committed + 1) {
  CHECK(!records_.changing_);
  records_.changing_ = true;
  // The list of the change before is applied and cleared.
  CHECK(records_.root_->redo_number == 0);
  std::atomic_signal_fence(std::memory_order_seq_cst);  // entries are plain stores: not before that
}

Change::~Change() {
  if (committed_) return;
  for (const Slot& slot : added_) records_.give_back(slot.kind, *slot.header);
  records_.clear_redo(entries_);
  records_.changing_ = false;
}

Result<SlotHeader*> Change::add_slot(PoolKind kind) {
  CHECK(room() > 0);
  SlotHeader* slot = TRY(records_.take(kind));
  slot->id = number_ << 12 | (added_.size() & 0xfff);
  added_.push_back({kind, slot});
  set(slot->state, word_of(SlotState::kLive));
  return slot;
}

void Change::remove_slot(PoolKind kind, SlotHeader& header) {
  set(header.state, word_of(SlotState::kDying));
  removed_.push_back({kind, &header});
}

void Change::set(uint64_t& word, uint64_t value) {
  CHECK(entries_ < abi::kMaxRedo);
  records_.redo_[entries_++] = {records_.address_of(&word), value};
}

void Change::set_words(char* field, size_t size, std::string_view text) {
  text = text.substr(0, size - 1);
  for (size_t at = 0; at < size; at += 8) {
    uint64_t word = 0;
    if (at < text.size()) memcpy(&word, text.data() + at, std::min<size_t>(8, text.size() - at));
    set(*reinterpret_cast<uint64_t*>(field + at), word);
  }
}

void Change::set(abi::ProcessWords& words, const abi::ProcessWords& value) {
  const auto* from = reinterpret_cast<const uint64_t*>(&value);
  auto* to = reinterpret_cast<uint64_t*>(&words);
  for (size_t i = 0; i < sizeof words / 8; ++i) set(to[i], from[i]);
}

void Change::commit() {
  CHECK(!committed_);
  committed_ = true;
  abi::RecordsRoot& root = *records_.root_;
  if (mutant("commit-before-data")) kho::store_word(&root.committed, number_);
  kho::store_word(&root.redo_count, entries_);
  kho::store_word(&root.redo_number, number_);
  FAULT_POINT("luo.commit.before");
  kho::store_word(&root.committed, number_);  // the point of no return of every change
  FAULT_POINT("luo.commit.after");
  records_.apply_redo();
  records_.clear_redo(entries_);
  for (const Slot& slot : added_) ++records_.live_[static_cast<size_t>(slot.kind)];
  for (const Slot& slot : removed_) {
    --records_.live_[static_cast<size_t>(slot.kind)];
    records_.give_back(slot.kind, *slot.header);
  }
  records_.changing_ = false;  // the next one may begin, also while this object lives
}

}  // namespace outlive::luo
