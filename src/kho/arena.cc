#include "kho/arena.h"

#include <algorithm>

#include "base/check.h"
#include "base/fault.h"
#include "base/mutant.h"
#include "kho/image.h"
#include "kho/pages.h"
#include "kho/root_fdt_format.h"
#include "kho/tracker.h"

namespace outlive::kho {

namespace {

uint64_t with_state(uint64_t descriptor, abi::PageState state) {
  return abi::make_descriptor(state, abi::descriptor_order(descriptor),
                              abi::descriptor_owner(descriptor), abi::descriptor_tag(descriptor));
}

uint64_t key_of(uint64_t page, uint64_t descriptor) {
  return abi::tracker_key(page << abi::kPageShift, abi::descriptor_order(descriptor));
}

// Header and tracker pages are nobody's to free or to change.
bool is_folio(uint64_t descriptor) {
  const uint16_t owner = abi::descriptor_owner(descriptor);
  return owner != abi::kOwnerMeta && owner != abi::kOwnerTracker;
}

}  // namespace

Arena::Arena(std::unique_ptr<Pages> pages, std::unique_ptr<Tracker> tracker)
    : pages_(std::move(pages)), tracker_(std::move(tracker)) {}
Arena::~Arena() = default;

Result<UniqueFd> Arena::create_file(uint64_t max_bytes) {
  const uint64_t size = (max_bytes + abi::kPageSize - 1) / abi::kPageSize * abi::kPageSize;
  if (size < kMinPages * abi::kPageSize || size > kMaxPages * abi::kPageSize) {
    return fail(EINVAL, "arena: {} bytes: from {} to {} are possible", max_bytes,
                kMinPages * abi::kPageSize, kMaxPages * abi::kPageSize);
  }
  UniqueFd file = TRY(sys::memfd_create("outlive-arena", MFD_ALLOW_SEALING));
  TRY(sys::ftruncate(file, size));
  TRY(sys::add_seals(file, F_SEAL_SHRINK | F_SEAL_GROW));
  return file;
}

Result<std::unique_ptr<Arena>> Arena::create(BorrowedFd file) {
  const struct stat facts = TRY(sys::fstat(file));
  const auto size = static_cast<uint64_t>(facts.st_size);
  if (size < kMinPages * abi::kPageSize || size % abi::kPageSize != 0 ||
      size > kMaxPages * abi::kPageSize) {
    return fail(EINVAL, "arena: {} bytes are no arena's size", size);
  }
  std::unique_ptr<Pages> pages = TRY(Pages::map(file, size));
  if (pages->view().header()->compatible[0] != 0) return fail(EEXIST, "arena: not an empty file");
  TRY(pages->format());
  auto tracker = std::make_unique<Tracker>(*pages);
  TRY(tracker->create_root());
  std::unique_ptr<Arena> arena(new Arena(std::move(pages), std::move(tracker)));
  TRY(arena->make_first_pages());
  return arena;
}

// Tracker root and root FDT; then the compatible string makes it an arena.
Status Arena::make_first_pages() {
  const uint64_t root = tracker_->root().page();
  pages_->set_descriptor(root, with_state(pages_->descriptor(root), abi::PageState::kLive));
  pages_->set_header_word(offsetof(abi::ArenaHeader, tracker_root), tracker_->root().value);
  RootFdtContents contents;
  contents.compatible = abi::kKhoCompatible;
  contents.memory_map = tracker_->root();
  const std::vector<std::byte> fdt = TRY(build_root_fdt(contents));
  store_bytes(pages_->bytes(kFirstFdtPage), fdt.data(), fdt.size());
  set_root_fdt(Phys::of_page(kFirstFdtPage));
  pages_->seal_format();
  return {};
}

void Arena::ask_before_growth(std::function<Status(uint64_t bytes)> ask) {
  pages_->ask_before_growth(std::move(ask));
}

Result<Phys> Arena::alloc(unsigned order, uint16_t owner, uint32_t tag) {
  CHECK(owner > abi::kOwnerTracker);
  return pages_->alloc(order, owner, tag);
}

Status Arena::preserve(Phys folio) {
  if (const int code = fault("kho.preserve")) return fail(code, "arena: injected");
  const uint64_t page = folio.page();
  if (folio.value % abi::kPageSize != 0 || page >= pages_->high_water()) {
    return fail(EINVAL, "arena: {:#x} is no folio", folio.value);
  }
  const uint64_t descriptor = pages_->descriptor(page);
  if (abi::descriptor_state(descriptor) != abi::PageState::kIntent || !is_folio(descriptor)) {
    return fail(EINVAL, "arena: {:#x} is not the head of a folio that can be preserved",
                folio.value);
  }
  const Tracker::Change change = TRY(tracker_->prepare(key_of(page, descriptor)));
  pages_->set_descriptor(page, with_state(descriptor, abi::PageState::kLive));
  if (!mutant("tracker-bit-missing")) tracker_->commit(change);
  return {};
}

Status Arena::unpreserve(Phys folio) {
  const uint64_t page = folio.page();
  const uint64_t descriptor = folio.value % abi::kPageSize == 0 && page < pages_->high_water()
                                  ? pages_->descriptor(page)
                                  : 0;
  if (abi::descriptor_state(descriptor) != abi::PageState::kLive || !is_folio(descriptor)) {
    return fail(EINVAL, "arena: {:#x} is not the head of a preserved folio", folio.value);
  }
  pages_->set_descriptor(page, with_state(descriptor, abi::PageState::kIntent));
  tracker_->clear(key_of(page, descriptor));
  return {};
}

void Arena::free(Phys folio) {
  const uint64_t page = folio.page();
  CHECK(folio.value % abi::kPageSize == 0 && page < pages_->high_water());
  const uint64_t descriptor = pages_->descriptor(page);
  const abi::PageState state = abi::descriptor_state(descriptor);
  CHECK(is_folio(descriptor));
  if (state == abi::PageState::kLive) {
    pages_->set_descriptor(page, with_state(descriptor, abi::PageState::kDying));
    tracker_->clear(key_of(page, descriptor));
  } else {
    CHECK(state == abi::PageState::kIntent);
  }
  pages_->free(page, descriptor);
}

Result<Phys> Arena::alloc_preserve(uint64_t bytes, uint16_t owner, uint32_t tag) {
  const Phys folio = TRY(alloc(order_for(bytes), owner, tag));
  Status preserved = preserve(folio);
  if (preserved) return folio;
  free(folio);
  return preserved.take_error();
}

Status Arena::set_tag(Phys head, uint32_t tag) {
  const std::optional<Folio> found = folio(head);
  if (!found || found->state == abi::PageState::kDying) {
    return fail(EINVAL, "arena: {:#x} is not the head of a folio", head.value);
  }
  pages_->set_descriptor(head.page(),
                         abi::make_descriptor(found->state, found->order, found->owner, tag));
  return {};
}

Status Arena::split(Phys head, std::span<const unsigned> orders) {
  const std::optional<Folio> found = folio(head);
  if (!found || found->state != abi::PageState::kIntent || orders.empty()) {
    return fail(EINVAL, "arena: {:#x} is not the head of an unpreserved folio", head.value);
  }
  uint64_t page = head.page();
  for (const unsigned order : orders) {
    if (order > found->order || page % order_pages(order) != 0) {
      return fail(EINVAL, "arena: a folio of order {} can't be at page {}", order, page);
    }
    page += order_pages(order);
  }
  if (page != head.page() + found->pages()) {
    return fail(EINVAL, "arena: {} pages are not what the folio has", page - head.page());
  }
  // Parts first, the head last: until then the whole is one folio, which attach reclaims as one.
  for (size_t i = orders.size(); i-- > 0;) {
    page -= order_pages(orders[i]);
    pages_->set_descriptor(
        page, abi::make_descriptor(abi::PageState::kIntent, orders[i], found->owner, found->tag));
  }
  return {};
}

void Arena::join(Phys head, unsigned order) {
  const uint64_t first = head.page();
  const uint64_t descriptor = pages_->descriptor(first);
  CHECK(first % order_pages(order) == 0 && first + order_pages(order) <= pages_->high_water());
  pages_->set_descriptor(
      first, abi::make_descriptor(abi::PageState::kIntent, order, abi::descriptor_owner(descriptor),
                                  abi::descriptor_tag(descriptor)));
  for (uint64_t page = first + 1; page < first + order_pages(order); ++page) {
    const uint64_t part = pages_->descriptor(page);
    if (part == 0) continue;
    CHECK(abi::descriptor_state(part) == abi::PageState::kIntent);
    pages_->set_descriptor(page, 0);
  }
}

uint64_t Arena::sweep(uint16_t owner, const std::function<bool(Phys)>& reached) {
  std::vector<Phys> lost;
  for_each_live([&](Phys head, unsigned, uint16_t its_owner, uint32_t) {
    if (its_owner == owner && !reached(head)) lost.push_back(head);
  });
  for (const Phys head : lost) free(head);
  return lost.size();
}

void Arena::set_root_fdt(Phys page) {
  pages_->set_header_word(offsetof(abi::ArenaHeader, root_fdt), page.value);
}

}  // namespace outlive::kho
