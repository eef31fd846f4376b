#include "kho/image.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "kho/layout.h"

namespace outlive::kho {

namespace {

constexpr uint64_t kTrackerNode =
    abi::make_descriptor(abi::PageState::kLive, 0, abi::kOwnerTracker, 0);

std::string printable(const char* text, size_t size) {
  std::string safe;
  for (const char c : std::string_view(text, strnlen(text, size))) {
    safe += c >= ' ' && c <= '~' ? c : '?';
  }
  return safe;
}

Status check_header(const View& view) {
  if (view.size() < kMinPages * abi::kPageSize || view.size() % abi::kPageSize != 0 ||
      view.pages() > kMaxPages) {
    return fail(EUCLEAN, "arena: {} bytes are no arena's size", view.size());
  }
  const abi::ArenaHeader& header = *view.header();
  if (std::memcmp(header.compatible, abi::kArenaCompatible, sizeof(abi::kArenaCompatible)) != 0) {
    return fail(EPROTO, "arena: version '{}' is not '{}'",
                printable(header.compatible, sizeof(header.compatible)), abi::kArenaCompatible);
  }
  const uint64_t size = header.size;
  const uint64_t descriptors = header.descriptors;
  const uint64_t high_water = header.high_water;
  const uint64_t root_fdt = header.root_fdt;
  if (size != view.size()) {
    return fail(EUCLEAN, "arena header: size {} but the file has {} bytes", size, view.size());
  }
  if (descriptors != kDescriptorPage * abi::kPageSize) {
    return fail(EUCLEAN, "arena header: descriptors at {:#x}", descriptors);
  }
  if (high_water < first_free_page(view.pages()) || high_water > view.pages()) {
    return fail(EUCLEAN, "arena header: high water {} of {} pages", high_water, view.pages());
  }
  if (root_fdt != kFirstFdtPage * abi::kPageSize && root_fdt != kSecondFdtPage * abi::kPageSize) {
    return fail(EUCLEAN, "arena header: root FDT at {:#x}", root_fdt);
  }
  return {};
}

// Goes over the descriptors once, in order of pages.
class Scan {
 public:
  Scan(const View& view, ImageFacts& facts) : view_(view), facts_(facts) {}

  Status run() {
    const uint64_t own = first_free_page(view_.pages());
    for (uint64_t page = 0; page < own; ++page) {
      if (descriptor_at(view_, page) != kMetaDescriptor) {
        return fail(EUCLEAN, "descriptor of page {}: {:#x}, but the page is the arena's own", page,
                    descriptor_at(view_, page));
      }
    }
    uint64_t page = own;
    uint64_t free_from = own;
    while (page < facts_.high_water) {
      const uint64_t descriptor = descriptor_at(view_, page);
      if (descriptor == 0) {
        ++page;
        continue;
      }
      if (page > free_from) facts_.free.push_back({free_from, page});
      TRY(folio(page, descriptor));
      page += order_pages(abi::descriptor_order(descriptor));
      free_from = page;
    }
    if (page > free_from) facts_.free.push_back({free_from, page});
    return {};
  }

 private:
  Status folio(uint64_t page, uint64_t descriptor) {
    TRY(shape(page, descriptor, facts_.high_water));
    const unsigned order = abi::descriptor_order(descriptor);
    const uint16_t owner = abi::descriptor_owner(descriptor);
    const abi::PageState state = abi::descriptor_state(descriptor);
    if (owner == abi::kOwnerMeta || owner == abi::kOwnerNone) {
      return fail(EUCLEAN, "descriptor of page {}: {:#x}, owner {} is not possible here", page,
                  descriptor, owner);
    }
    TRY(tails(page, descriptor));
    if (state != abi::PageState::kLive) {
      facts_.begun.push_back(page);
    } else if (owner == abi::kOwnerTracker) {
      if (descriptor != kTrackerNode) return bad(page, descriptor, "is no tracker page");
      facts_.tracker.push_back(page);
    } else {
      if (owner == abi::kOwnerSubtree) facts_.blobs.push_back(page);
      facts_.expected.insert(page << abi::kPageShift, order);
      facts_.live_pages += order_pages(order);
      ++facts_.live_folios;
    }
    return {};
  }

  static Status shape(uint64_t page, uint64_t descriptor, uint64_t end) {
    const unsigned order = abi::descriptor_order(descriptor);
    const abi::PageState state = abi::descriptor_state(descriptor);
    if (state == abi::PageState::kFree || state > abi::PageState::kDying) {
      return bad(page, descriptor, "no such state");
    }
    if (order > abi::kMaxOrder) return bad(page, descriptor, "no such order");
    if (page % order_pages(order) != 0) return bad(page, descriptor, "the folio is misaligned");
    if (order_pages(order) > end - page) return bad(page, descriptor, "the folio ends too high");
    return {};
  }

  // The other pages of a folio have none. Only a folio that was being cut (Arena::split) has INTENT
  // folios inside, and is INTENT or, being reclaimed, DYING itself.
  Status tails(uint64_t page, uint64_t descriptor) {
    const uint64_t end = page + order_pages(abi::descriptor_order(descriptor));
    const bool may_be_cut = abi::descriptor_state(descriptor) != abi::PageState::kLive;
    for (uint64_t tail = page + 1; tail < end;) {
      const uint64_t inner = descriptor_at(view_, tail);
      if (inner == 0) {
        ++tail;
        continue;
      }
      if (!may_be_cut || abi::descriptor_state(inner) != abi::PageState::kIntent ||
          abi::descriptor_owner(inner) != abi::descriptor_owner(descriptor)) {
        return bad(tail, inner, "the page is inside another folio");
      }
      TRY(shape(tail, inner, end));
      tail += 1;
    }
    return {};
  }

  static Error bad(uint64_t page, uint64_t descriptor, const char* why) {
    return fail(EUCLEAN, "descriptor of page {}: {:#x}: {}", page, descriptor, why);
  }

  const View& view_;
  ImageFacts& facts_;
};

Status check_root_fdt(const View& view, ImageFacts& facts) {
  const std::byte* page = view.at(facts.root_fdt_page, abi::kPageSize);
  facts.root_fdt = TRY(parse_root_fdt({page, abi::kPageSize}));
  if (facts.root_fdt.memory_map != facts.tracker_root) {
    return fail(EUCLEAN, "root FDT: {} is {:#x}, but the header has {:#x}", abi::kPropMemoryMap,
                facts.root_fdt.memory_map.value, facts.tracker_root.value);
  }
  for (const Subtree& subtree : facts.root_fdt.subtrees) {
    const uint64_t head = folio_head(view, facts.high_water, subtree.data);
    const uint64_t descriptor = head != 0 ? descriptor_at(view, head) : 0;
    if (abi::descriptor_state(descriptor) != abi::PageState::kLive ||
        abi::descriptor_owner(descriptor) <= abi::kOwnerTracker) {
      return fail(EUCLEAN, "subtree '{}': {:#x} is not in a preserved folio", subtree.name,
                  subtree.data.value);
    }
    const uint64_t end = (head << abi::kPageShift) + order_bytes(abi::descriptor_order(descriptor));
    if (subtree.size > end - subtree.data.value) {
      return fail(EUCLEAN, "subtree '{}': {} bytes at {:#x} are more than its folio has",
                  subtree.name, subtree.size, subtree.data.value);
    }
  }
  return {};
}

}  // namespace

uint64_t descriptor_at(const View& view, uint64_t page) {
  const auto* table =
      reinterpret_cast<const uint64_t*>(view.base() + kDescriptorPage * abi::kPageSize);
  return load_word(table + page);
}

uint64_t folio_head(const View& view, uint64_t high_water, Phys address) {
  if (address.page() >= high_water) return 0;
  for (unsigned order = 0; order <= abi::kMaxOrder; ++order) {
    const uint64_t head = address.page() >> order << order;
    const uint64_t descriptor = descriptor_at(view, head);
    if (descriptor == 0) continue;
    return abi::descriptor_order(descriptor) >= order ? head : 0;
  }
  return 0;
}

Result<ImageFacts> check_image(const View& view) {
  TRY(check_header(view));
  ImageFacts facts;
  facts.high_water = view.header()->high_water;
  facts.root_fdt_page.value = view.header()->root_fdt;
  facts.tracker_root.value = view.header()->tracker_root;
  TRY(Scan(view, facts).run());
  facts.walk = TRY(walk_tracker(view, facts.tracker_root, [&](uint64_t page) {
    return std::ranges::binary_search(facts.tracker, page);
  }));
  TRY(check_root_fdt(view, facts));
  return facts;
}

Status check_unused_table(BorrowedFd file, const View& view) {
  const uint64_t table = kDescriptorPage * abi::kPageSize;
  const uint64_t end = table + descriptor_pages(view.pages()) * abi::kPageSize;
  uint64_t at = table + view.header()->high_water * sizeof(uint64_t);
  while (at < end) {
    // Holes are skipped: to read one through the mapping would allocate it.
    const off_t data = ::lseek(file.get(), static_cast<off_t>(at), SEEK_DATA);
    if (data < 0 || static_cast<uint64_t>(data) >= end) return {};
    const uint64_t from = std::max(at, static_cast<uint64_t>(data));
    const uint64_t to = std::min(end, from / abi::kPageSize * abi::kPageSize + abi::kPageSize);
    for (at = from; at < to; at += sizeof(uint64_t)) {
      const uint64_t page = (at - table) / sizeof(uint64_t);
      if (descriptor_at(view, page) != 0) {
        return fail(EUCLEAN, "descriptor of page {}: {:#x}, above the high water {}", page,
                    descriptor_at(view, page), uint64_t{view.header()->high_water});
      }
    }
  }
  return {};
}

}  // namespace outlive::kho
