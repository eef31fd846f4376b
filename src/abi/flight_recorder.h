// DOC: the flight recorder, compatible string "outlive-recorder-v1".
// The ABI may change, if the change includes a new version in the compatible string.
// Compatibility is guaranteed only between the versions listed here: outlive-recorder-v1.
//
// A ring of bytes in a reserve_mem region. `written` counts the bytes ever written; the last
// min(written, capacity) are in the ring, ending at written % capacity. Bytes first, then the word.
// `writing` is stored before the bytes: what `written` will be after them. It tells, after a crash
// in between, which of the oldest bytes may be overwritten.
#pragma once

#include <cstddef>
#include <cstdint>

namespace outlive::abi {

inline constexpr char kRecorderCompatible[] = "outlive-recorder-v1";
inline constexpr char kRecorderRegion[] = "flight-recorder";

struct RecorderHeader {
  char compatible[32];
  uint64_t capacity;
  uint64_t written;
  uint64_t writing;
  uint64_t reserved;
};
static_assert(sizeof(RecorderHeader) == 64);

}  // namespace outlive::abi
