// Ranges: contiguous pages of any number, as naturally aligned folios of the largest order that
// fits at each place (the kernel's kho_preserve_pages cuts them in the same way).
//
// All of a range or nothing: after an error every page is what it was.
#pragma once

#include <vector>

#include "base/result.h"
#include "kho/arena.h"

namespace outlive::kho {

// The orders, from first page to last.
std::vector<unsigned> range_orders(uint64_t first_page, uint64_t pages);

// Contiguous zeroed pages, INTENT, up to 1 GiB; what the smallest folio has more is not taken.
// EINVAL for no pages or too many, ENOSPC.
Result<Phys> alloc_range(Arena& arena, uint64_t pages, uint16_t owner, uint32_t tag = 0);
// Every page must be in an INTENT folio (EINVAL); folios that the range has only a part of are cut.
Status preserve_range(Arena& arena, Phys start, uint64_t pages);
// The range must consist of whole LIVE folios (EINVAL).
Status unpreserve_range(Arena& arena, Phys start, uint64_t pages);
// The successor takes it out of the preserved set: LIVE -> INTENT.
inline Status restore_range(Arena& arena, Phys start, uint64_t pages) {
  return unpreserve_range(arena, start, pages);
}
// Frees the whole folios that the range consists of, INTENT or LIVE. EINVAL: it doesn't.
Status free_range(Arena& arena, Phys start, uint64_t pages);

}  // namespace outlive::kho
