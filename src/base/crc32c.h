// CRC32C (Castagnoli, reflected 0x82f63b78; iSCSI, RFC 3720 section 12.1): checks headers and state
// blobs against damage, not against an attacker. Uses the processor's instruction where there is
// one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace outlive {

// Of `bytes`, going on from `crc`, the value for what was before them (0: nothing was).
uint32_t crc32c(std::span<const std::byte> bytes, uint32_t crc = 0);

// The portable way, for the test that compares the two.
uint32_t crc32c_by_table(std::span<const std::byte> bytes, uint32_t crc = 0);

}  // namespace outlive
