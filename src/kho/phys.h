// Phys: an address inside the arena (its byte offset). 0 is none. It becomes a pointer only through
// Arena::at, after the bounds check.
#pragma once

#include <compare>
#include <cstdint>

#include "abi/kho.h"

namespace outlive::kho {

struct Phys {
  uint64_t value = 0;

  constexpr bool valid() const { return value != 0; }
  constexpr uint64_t page() const { return value >> abi::kPageShift; }
  static constexpr Phys of_page(uint64_t page) { return Phys{page << abi::kPageShift}; }
  friend constexpr auto operator<=>(const Phys&, const Phys&) = default;
};

// The bytes of a folio of this order.
constexpr uint64_t order_bytes(unsigned order) {
  return abi::kPageSize << order;
}
constexpr uint64_t order_pages(unsigned order) {
  return uint64_t{1} << order;
}
// The smallest order whose folio holds `bytes`; above kMaxOrder when none does.
unsigned order_for(uint64_t bytes);
// What that folio has.
inline uint64_t folio_bytes(uint64_t bytes) {
  return order_bytes(order_for(bytes));
}

}  // namespace outlive::kho
