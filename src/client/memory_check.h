// check_memory: walks all of a region's structure and says what is wrong with it.
//
// Only reads, through any view of the region. Every step is bounded by the number of pages, so that
// it ends, and stays inside, whatever the bytes are. On a region that someone is changing the
// answer means nothing, but the rest holds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "abi/memory.h"
#include "base/result.h"

namespace outlive::client {

// The constant part and the bounds of a region whose file has `file_size` bytes; `header` has at
// least kMemoryHeaderSize bytes. EPROTO: not a region, or of another version (named); EUCLEAN: what
// is out of bounds.
Status check_memory_header(const abi::MemoryHeader& header, uint64_t file_size);

// The whole structure of the region at `view`, all of its file, whose header was found good.
// EUCLEAN with the first thing that is wrong.
Status check_memory(std::span<const std::byte> view);

}  // namespace outlive::client
