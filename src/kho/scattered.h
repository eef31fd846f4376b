// Scattered memory: folios of one order that belong together but don't lie together, described by
// a chain of chunks (the kernel's preservation of vmalloc memory).
//
//   Happy path   preserve_scattered() makes chunks and folios LIVE and gives the description, which
//                the caller puts where its successor finds it; restore_scattered() gives the folios
//                back, in order.
//   Unhappy      an error of preserve_scattered leaves every folio INTENT and no chunk. A chain of
//                an inherited image that is wrong anywhere: EUCLEAN, and nothing is changed.
#pragma once

#include <span>
#include <vector>

#include "base/result.h"
#include "kho/arena.h"

namespace outlive::kho {

// The folios are INTENT, all of this order. Chunks get this owner and tag. `flags` are the
// caller's.
Result<abi::ScatteredMemory> preserve_scattered(Arena& arena, std::span<const Phys> folios,
                                                unsigned order, uint16_t owner, uint32_t tag = 0,
                                                uint16_t flags = 0);
// The folios of a description, checked: every one is LIVE and of its order.
Result<std::vector<Phys>> scattered_folios(const Arena& arena, const abi::ScatteredMemory& memory);
// The chunks themselves, for a sweep: what reaches the folios.
Result<std::vector<Phys>> scattered_chunks(const Arena& arena, const abi::ScatteredMemory& memory);
// LIVE -> INTENT, and the chunks are freed. The folios stay the caller's.
Result<std::vector<Phys>> restore_scattered(Arena& arena, const abi::ScatteredMemory& memory);
// The same, by the one who preserved it.
Status unpreserve_scattered(Arena& arena, const abi::ScatteredMemory& memory);

}  // namespace outlive::kho
