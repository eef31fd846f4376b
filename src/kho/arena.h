// The arena: the memory that outlives its process. Folios (2^order pages, naturally aligned) are
// handed out, preserved, and given back; what is preserved is found again by the next process.
//
//   Happy path   1. file = Arena::create_file(bytes); arena = Arena::create(file)
//                2. folio = alloc_preserve(bytes, owner); write into at(folio, bytes)
//                3. make a record reach it (a subtree of the root FDT, or a page that one reaches)
//                4. the process ends; the next one: Arena::attach(file), sweep(owner, reached)
//   Unhappy      no room: ENOSPC, and nothing has changed. Killed anywhere: attach undoes what was
//                begun (INTENT), finishes what was being freed (DYING) and corrects the tracker. An
//                image that is not a sound arena: refused with a reason, and not one byte changed.
//
// Free pages are zero. No locks: one thread, one process at a time.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>

#include "base/result.h"
#include "base/unique_fd.h"
#include "kho/phys.h"
#include "kho/view.h"

namespace outlive::kho {

struct AttachReport {
  uint64_t live_pages = 0;           // preserved pages found
  uint64_t reclaimed_folios = 0;     // begun, half freed, or subtree blobs that nothing names
  uint64_t tracker_corrections = 0;  // bits and empty nodes of the tracker that were put right
};

// What the descriptor of a folio says.
struct Folio {
  Phys head;
  unsigned order = 0;
  abi::PageState state = abi::PageState::kFree;
  uint16_t owner = 0;
  uint32_t tag = 0;

  uint64_t pages() const { return order_pages(order); }
  uint64_t bytes() const { return order_bytes(order); }
  bool live() const { return state == abi::PageState::kLive; }
};

class Pages;
class Tracker;

class Arena {
 public:
  // A sparse memfd of this size (rounded up to pages), sealed against shrinking and growing. It is
  // CLOEXEC; whoever hands it over by exec clears that.
  static Result<UniqueFd> create_file(uint64_t max_bytes);
  // Formats an empty file. The arena borrows the file: it must stay open as long.
  static Result<std::unique_ptr<Arena>> create(BorrowedFd file);
  // Takes an image over. EPROTO: another format or version; EUCLEAN: damaged; the message says
  // where. Nothing is modified before all of it is validated.
  static Result<std::unique_ptr<Arena>> attach(BorrowedFd file, AttachReport* report = nullptr);
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  // A zeroed folio in state INTENT: lost with the process unless it is preserved. ENOSPC.
  Result<Phys> alloc(unsigned order, uint16_t owner, uint32_t tag = 0);
  // INTENT -> LIVE. EINVAL if this isn't the head of an INTENT folio; ENOSPC if the tracker can't
  // grow. An error changes nothing.
  Status preserve(Phys folio);
  // LIVE -> INTENT. EINVAL if this isn't the head of a LIVE folio.
  Status unpreserve(Phys folio);
  // Gives an INTENT or LIVE folio back, zeroed. Anything else is a bug (CHECK): what comes from an
  // image is looked up with folio() first.
  void free(Phys folio);
  // The smallest folio that holds `bytes`, LIVE at once.
  Result<Phys> alloc_preserve(uint64_t bytes, uint16_t owner, uint32_t tag = 0);
  // The same as free(), for a preserved folio.
  void restore_free(Phys folio) { free(folio); }
  // The successor takes it out of the preserved set: LIVE -> INTENT.
  Status restore(Phys folio) { return unpreserve(folio); }
  // Changes the tag of an INTENT or LIVE folio; one store.
  Status set_tag(Phys folio, uint32_t tag);
  // Cuts an INTENT folio into folios of these orders, which must tile it naturally aligned.
  Status split(Phys folio, std::span<const unsigned> orders);
  // Undoes split() of a folio of this order: what it was cut into must all be INTENT still.
  void join(Phys folio, unsigned order);

  // nullptr when out of bounds: the one place where an address becomes a pointer.
  std::byte* at(Phys address, uint64_t bytes) const;
  // The same, and nullptr when it isn't aligned for T.
  template <class T>
  T* object(Phys address) const {
    if (address.value % alignof(T) != 0) return nullptr;
    return reinterpret_cast<T*>(at(address, sizeof(T)));
  }
  // None for a pointer that isn't into the arena.
  Phys address_of(const void* pointer) const;

  // Frees the LIVE folios of this owner that `reached` denies; how many.
  uint64_t sweep(uint16_t owner, const std::function<bool(Phys)>& reached);
  // The folio whose head this is; none for a free page or the inside of a folio.
  std::optional<Folio> folio(Phys head) const;
  // The folio that this address is in.
  std::optional<Folio> folio_of(Phys address) const;
  // LIVE, of this owner, and large enough for `bytes` from its head: what a record of an inherited
  // image must satisfy before it is used.
  bool is_live(Phys head, uint16_t owner, uint64_t bytes = 1) const;
  // Preserved folios in order of address (not the arena's own pages). fn must not change the arena.
  void for_each_live(
      const std::function<void(Phys, unsigned order, uint16_t owner, uint32_t tag)>& fn) const;

  uint64_t size() const { return view().size(); }  // bytes
  uint64_t used_pages() const;                     // with header, descriptors and tracker
  uint64_t free_pages() const;
  uint64_t pages_of(uint16_t owner) const;  // INTENT and LIVE; walks the descriptors
  uint64_t epoch() const;                   // attaches so far
  const abi::ArenaHeader& header() const { return *view().header(); }
  // Makes this FDT page the current one: one store. For RootFdt only.
  void set_root_fdt(Phys page);
  Phys root_fdt() const;
  BorrowedFd file() const;
  // Asked before the file gets so many more bytes: what it says is alloc()'s error.
  void ask_before_growth(std::function<Status(uint64_t bytes)> ask);
  View view() const;

 private:
  Arena(std::unique_ptr<Pages> pages, std::unique_ptr<Tracker> tracker);
  Status make_first_pages();
  friend class AttachWork;

  std::unique_ptr<Pages> pages_;
  std::unique_ptr<Tracker> tracker_;
};

}  // namespace outlive::kho
