#include "kho/ranges.h"

#include <algorithm>
#include <bit>

#include "base/check.h"

namespace outlive::kho {

namespace {

void append_orders(std::vector<unsigned>& orders, uint64_t first, uint64_t end) {
  while (first < end) {
    const auto aligned = static_cast<unsigned>(std::countr_zero(first));
    const auto fits = static_cast<unsigned>(std::bit_width(end - first)) - 1;
    orders.push_back(std::min({aligned, fits, abi::kMaxOrder}));
    first += order_pages(orders.back());
  }
}

bool is_range(const Arena& arena, Phys start, uint64_t pages) {
  const uint64_t all = arena.view().pages();
  return pages > 0 && start.value % abi::kPageSize == 0 && start.page() < all &&
         pages <= all - start.page();
}

Error not_a_range(Phys start, uint64_t pages, const char* why) {
  return fail(EINVAL, "range of {} pages at {:#x}: {}", pages, start.value, why);
}

// The folios that overlap the range; empty when some page is in none of this state.
std::vector<Folio> folios_of(const Arena& arena, Phys start, uint64_t pages, bool live) {
  std::vector<Folio> folios;
  const uint64_t end = start.page() + pages;
  for (uint64_t page = start.page(); page < end;) {
    const std::optional<Folio> folio = arena.folio_of(Phys::of_page(page));
    if (!folio || folio->live() != live) return {};
    folios.push_back(*folio);
    page = folio->head.page() + folio->pages();
  }
  return folios;
}

bool is_whole(const std::vector<Folio>& folios, Phys start, uint64_t pages) {
  return !folios.empty() && folios.front().head == start &&
         folios.back().head.page() + folios.back().pages() == start.page() + pages;
}

// Undoes what was done to a range unless it is committed.
class Undo {
 public:
  explicit Undo(Arena& arena) : arena_(arena) {}
  ~Undo() {
    for (const Phys head : preserved_) CHECK(arena_.unpreserve(head));
    for (const Folio& folio : cut_) arena_.join(folio.head, folio.order);
  }
  Undo(const Undo&) = delete;
  Undo& operator=(const Undo&) = delete;
  void cut(const Folio& folio) { cut_.push_back(folio); }
  void preserved(Phys head) { preserved_.push_back(head); }
  void commit() {
    cut_.clear();
    preserved_.clear();
  }

 private:
  Arena& arena_;
  std::vector<Folio> cut_;
  std::vector<Phys> preserved_;
};

}  // namespace

std::vector<unsigned> range_orders(uint64_t first_page, uint64_t pages) {
  std::vector<unsigned> orders;
  append_orders(orders, first_page, first_page + pages);
  return orders;
}

Result<Phys> alloc_range(Arena& arena, uint64_t pages, uint16_t owner, uint32_t tag) {
  if (pages == 0 || pages > order_pages(abi::kMaxOrder)) {
    return fail(EINVAL, "range: {} pages; 1 to {} are possible", pages,
                order_pages(abi::kMaxOrder));
  }
  const unsigned order = order_for(pages << abi::kPageShift);
  const Phys start = TRY(arena.alloc(order, owner, tag));
  const uint64_t end = start.page() + order_pages(order);
  uint64_t page = start.page() + pages;
  if (page == end) return start;
  std::vector<unsigned> orders = range_orders(start.page(), pages);
  const std::vector<unsigned> rest = range_orders(page, end - page);
  orders.insert(orders.end(), rest.begin(), rest.end());
  CHECK(arena.split(start, orders));
  for (const unsigned one : rest) {
    arena.free(Phys::of_page(page));
    page += order_pages(one);
  }
  return start;
}

Status preserve_range(Arena& arena, Phys start, uint64_t pages) {
  if (!is_range(arena, start, pages)) return not_a_range(start, pages, "not in the arena");
  const std::vector<Folio> folios = folios_of(arena, start, pages, false);
  if (folios.empty()) return not_a_range(start, pages, "not all of it is unpreserved folios");
  const uint64_t end = start.page() + pages;
  Undo undo(arena);
  for (const Folio& folio : folios) {
    const uint64_t from = std::max(folio.head.page(), start.page());
    const uint64_t to = std::min(folio.head.page() + folio.pages(), end);
    if (to - from != folio.pages()) {
      std::vector<unsigned> orders;
      append_orders(orders, folio.head.page(), from);
      append_orders(orders, from, to);
      append_orders(orders, to, folio.head.page() + folio.pages());
      TRY(arena.split(folio.head, orders));
      undo.cut(folio);
    }
    uint64_t page = from;
    for (const unsigned order : range_orders(from, to - from)) {
      TRY(arena.preserve(Phys::of_page(page)));
      undo.preserved(Phys::of_page(page));
      page += order_pages(order);
    }
  }
  undo.commit();
  return {};
}

Status unpreserve_range(Arena& arena, Phys start, uint64_t pages) {
  if (!is_range(arena, start, pages)) return not_a_range(start, pages, "not in the arena");
  const std::vector<Folio> folios = folios_of(arena, start, pages, true);
  if (!is_whole(folios, start, pages)) {
    return not_a_range(start, pages, "not whole preserved folios");
  }
  for (const Folio& folio : folios) TRY(arena.unpreserve(folio.head));
  return {};
}

Status free_range(Arena& arena, Phys start, uint64_t pages) {
  if (!is_range(arena, start, pages)) return not_a_range(start, pages, "not in the arena");
  std::vector<Folio> folios = folios_of(arena, start, pages, true);
  if (folios.empty()) folios = folios_of(arena, start, pages, false);
  if (!is_whole(folios, start, pages)) return not_a_range(start, pages, "not whole folios");
  for (const Folio& folio : folios) arena.free(folio.head);
  return {};
}

}  // namespace outlive::kho
