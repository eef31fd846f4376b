// Records: the pools of slots that are the truth (abi/records.h), and Change, the only way to alter
// a visible one.
//
// Happy path:    Change change(records); auto* slot = TRY(change.add<FileSlot>()); slot->... = ...;
//                change.set(session->flags, ...); change.remove(*old); change.commit();
// Unhappy path:  a Change that is destroyed uncommitted leaves nothing: its new slots are given
// back. A death:       before the commit store nothing happened, after it everything did (attach
// applies
//                the redo list again).
// Locks: none, one thread. One Change at a time (CHECK).
#pragma once

#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "abi/records.h"
#include "base/result.h"
#include "kho/arena.h"
#include "kho/root_fdt.h"
#include "luo/root_format.h"

namespace outlive::luo {

template <class S>
struct SlotKind;
template <>
struct SlotKind<abi::SessionSlot> {
  static constexpr auto value = abi::PoolKind::kSession;
};
template <>
struct SlotKind<abi::FileSlot> {
  static constexpr auto value = abi::PoolKind::kFile;
};
template <>
struct SlotKind<abi::ConnectionSlot> {
  static constexpr auto value = abi::PoolKind::kConnection;
};
template <>
struct SlotKind<abi::ServiceSlot> {
  static constexpr auto value = abi::PoolKind::kService;
};
template <>
struct SlotKind<abi::UpdateSlot> {
  static constexpr auto value = abi::PoolKind::kUpdate;
};
template <>
struct SlotKind<abi::ClientSubtreeSlot> {
  static constexpr auto value = abi::PoolKind::kClientSubtree;
};
template <>
struct SlotKind<abi::FlbSlot> {
  static constexpr auto value = abi::PoolKind::kFlb;
};

class Records {
 public:
  struct AttachReport {
    bool redo_applied = false;
    uint64_t undone = 0;    // INTENT slots given back
    uint64_t finished = 0;  // DYING slots freed
    uint64_t zeroed = 0;    // slots in no state, or FREE and not zero
    bool redo_cleared = false;
    uint64_t pages_reclaimed = 0;
  };

  // Makes an empty set under the subtree "outlive". ENOSPC.
  static Result<std::unique_ptr<Records>> create(kho::Arena& arena, kho::RootFdt& fdt);
  // Finds it again: bounds, chains, kinds and texts are checked first (EPROTO: another version,
  // EUCLEAN: does not hold together), then the redo list is applied and halves are undone.
  static Result<std::unique_ptr<Records>> attach(kho::Arena& arena, kho::RootFdt& fdt,
                                                 AttachReport* report = nullptr);

  kho::Arena& arena() { return arena_; }
  kho::RootFdt& fdt() { return fdt_; }
  abi::RecordsRoot& root() { return *root_; }
  const RootFormat& format() const { return *format_; }
  void keep_totals(const abi::RecordsTotals& totals) { format_->keep(*root_, totals); }
  // From here on only who reads version 2 can take over.
  void finalize(const abi::RecordsTotals& totals);

  // Every LIVE slot of the kind, in no order. `visit` must not add or remove slots.
  template <class S>
  void for_each(const std::function<void(S&)>& visit) {
    for_each_slot(SlotKind<S>::value, [&](abi::SlotHeader& header) {
      if (header.state == static_cast<uint64_t>(abi::SlotState::kLive)) {
        visit(reinterpret_cast<S&>(header));
      }
    });
  }
  // The LIVE slot at this arena address, or nullptr: an address from a record is never trusted.
  template <class S>
  S* find(uint64_t address) {
    return reinterpret_cast<S*>(find_slot(SlotKind<S>::value, address));
  }
  uint64_t address_of(const void* in_arena) const { return arena_.address_of(in_arena).value; }
  // LIVE slots of the kind.
  uint64_t count(abi::PoolKind kind) const { return live_[static_cast<size_t>(kind)]; }
  // Grows with each word of a record of the kind that a change has altered: who has something
  // derived from all of them sees whether it still holds.
  uint64_t changes_of(abi::PoolKind kind) const { return changes_[static_cast<size_t>(kind) + 1]; }
  // Whether a page belongs to the pools: for fsck and the sweep of the owner kOwnerRecords.
  bool reaches(kho::Phys page) const;
  // Every slot, whatever its state: for fsck.
  void for_each_slot(abi::PoolKind kind, const std::function<void(abi::SlotHeader&)>& visit);
  // Whether the redo list is empty, to the last byte, as it is between two changes.
  bool redo_is_clear() const;

 private:
  friend class Change;
  Records(kho::Arena& arena, kho::RootFdt& fdt) : arena_(arena), fdt_(fdt) {}
  Status load_pools();
  Status check_redo() const;
  bool has_redo() const;
  void apply_redo();
  void clear_redo(uint64_t entries);
  void settle(AttachReport* report);
  Result<abi::SlotHeader*> take(abi::PoolKind kind);
  Status grow(abi::PoolKind kind);
  void give_back(abi::PoolKind kind, abi::SlotHeader& slot);
  abi::SlotHeader* find_slot(abi::PoolKind kind, uint64_t address);
  static size_t slots_a_page(abi::PoolKind kind);
  size_t kind_of_page(uint64_t address) const;
  void set_kind_of_page(uint64_t address, size_t kind);

  kho::Arena& arena_;
  kho::RootFdt& fdt_;
  abi::RecordsRoot* root_ = nullptr;
  const RootFormat* format_ = &root_v1();
  abi::RedoEntry* redo_ = nullptr;
  std::vector<uint64_t> pages_[static_cast<size_t>(abi::PoolKind::kCount)];
  std::vector<uint64_t> free_[static_cast<size_t>(abi::PoolKind::kCount)];
  uint64_t live_[static_cast<size_t>(abi::PoolKind::kCount)] = {};
  // By page number, as far as pool pages go (the arena is dense, and a byte for every page of it
  // would cost a new worker more than all the rest): kind + 1, 0: not a pool page.
  std::vector<uint8_t> page_kind_;
  bool changing_ = false;
  uint64_t changes_[static_cast<size_t>(abi::PoolKind::kCount) + 1] = {};  // by kind + 1, as above
};

class Change {
 public:
  explicit Change(Records& records);
  ~Change();
  Change(const Change&) = delete;
  Change& operator=(const Change&) = delete;

  // A new slot, zeroed, invisible until commit: fill it directly. ENOSPC.
  template <class S>
  Result<S*> add() {
    abi::SlotHeader* slot = TRY(add_slot(SlotKind<S>::value));
    return reinterpret_cast<S*>(slot);
  }
  // A word of a visible slot or of the root, as of the commit. Reads see the old value until then.
  void set(uint64_t& word, uint64_t value);
  void set(int64_t& word, int64_t value) {
    set(reinterpret_cast<uint64_t&>(word), static_cast<uint64_t>(value));
  }
  template <size_t N>
  void set_text(char (&field)[N], std::string_view text) {
    static_assert(N % 8 == 0);
    set_words(field, N, text);
  }
  void set(abi::ProcessWords& words, const abi::ProcessWords& value);
  // The slot is gone as of the commit.
  template <class S>
  void remove(S& slot) {
    remove_slot(SlotKind<S>::value, slot.header);
  }
  // How many more set() and remove() fit; callers that loop look before.
  size_t room() const { return abi::kMaxRedo - entries_; }
  bool empty() const { return entries_ == 0; }
  // The number that this change commits under: ids of its slots derive from it.
  uint64_t number() const { return number_; }
  // All of it, in one store. Can't fail. The next change may begin then.
  void commit();

 private:
  Result<abi::SlotHeader*> add_slot(abi::PoolKind kind);
  void remove_slot(abi::PoolKind kind, abi::SlotHeader& header);
  void set_words(char* field, size_t size, std::string_view text);

  struct Slot {
    abi::PoolKind kind;
    abi::SlotHeader* header;
  };
  Records& records_;
  uint64_t number_;
  size_t entries_ = 0;
  bool committed_ = false;
  std::vector<Slot> added_;
  std::vector<Slot> removed_;
};

}  // namespace outlive::luo
