// Arena: what only reads.
#include "kho/arena.h"
#include "kho/image.h"
#include "kho/pages.h"
#include "kho/tracker.h"

namespace outlive::kho {

std::byte* Arena::at(Phys address, uint64_t bytes) const {
  // Above the high water is nothing: a touch there would allocate.
  const uint64_t end = pages_->high_water() << abi::kPageShift;
  if (!address.valid() || address.value > end || bytes > end - address.value) return nullptr;
  return pages_->bytes(0) + address.value;
}

Phys Arena::address_of(const void* pointer) const {
  const auto base = reinterpret_cast<uintptr_t>(pages_->bytes(0));
  const auto value = reinterpret_cast<uintptr_t>(pointer);
  if (value < base || value - base >= size()) return Phys{};
  return Phys{value - base};
}

std::optional<Folio> Arena::folio(Phys head) const {
  if (head.value % abi::kPageSize != 0 || head.page() >= pages_->high_water()) return {};
  const uint64_t descriptor = pages_->descriptor(head.page());
  const uint16_t owner = abi::descriptor_owner(descriptor);
  if (descriptor == 0 || owner <= abi::kOwnerTracker) return {};
  return Folio{.head = head,
               .order = abi::descriptor_order(descriptor),
               .state = abi::descriptor_state(descriptor),
               .owner = owner,
               .tag = abi::descriptor_tag(descriptor)};
}

std::optional<Folio> Arena::folio_of(Phys address) const {
  const uint64_t head = folio_head(view(), pages_->high_water(), address);
  return head != 0 ? folio(Phys::of_page(head)) : std::nullopt;
}

bool Arena::is_live(Phys head, uint16_t owner, uint64_t bytes) const {
  const std::optional<Folio> found = folio(head);
  return found && found->live() && found->owner == owner && bytes <= found->bytes();
}

void Arena::for_each_live(
    const std::function<void(Phys, unsigned order, uint16_t owner, uint32_t tag)>& fn) const {
  for (uint64_t page = first_free_page(pages_->count()); page < pages_->high_water();) {
    const uint64_t descriptor = pages_->descriptor(page);
    if (descriptor == 0) {
      ++page;
      continue;
    }
    const unsigned order = abi::descriptor_order(descriptor);
    const uint16_t owner = abi::descriptor_owner(descriptor);
    if (abi::descriptor_state(descriptor) == abi::PageState::kLive && owner != abi::kOwnerTracker) {
      fn(Phys::of_page(page), order, owner, abi::descriptor_tag(descriptor));
    }
    page += order_pages(order);
  }
}

uint64_t Arena::used_pages() const {
  return pages_->count() - pages_->free_pages();
}
uint64_t Arena::free_pages() const {
  return pages_->free_pages();
}

uint64_t Arena::pages_of(uint16_t owner) const {
  uint64_t pages = 0;
  for (uint64_t page = 0; page < pages_->high_water();) {
    const uint64_t descriptor = pages_->descriptor(page);
    const uint64_t next = order_pages(abi::descriptor_order(descriptor));
    if (descriptor != 0 && abi::descriptor_owner(descriptor) == owner) pages += next;
    page += next;
  }
  return pages;
}

uint64_t Arena::epoch() const {
  return pages_->header_word(offsetof(abi::ArenaHeader, epoch));
}
Phys Arena::root_fdt() const {
  return Phys{pages_->header_word(offsetof(abi::ArenaHeader, root_fdt))};
}
BorrowedFd Arena::file() const {
  return pages_->file();
}
View Arena::view() const {
  return pages_->view();
}

}  // namespace outlive::kho
