// DOC: the header that liboutlive puts before a service's own state blobs, compatible string
// "outlive-state-v1".
// The ABI may change, if the change includes a new version in the compatible string.
// Compatibility is guaranteed only between the versions listed here: outlive-state-v1.
//
//   0            32       36            40           48     52        56
//   | compatible | version| oldest_reader| layout_hash| crc | size    | bytes...
//
// `compatible` names the service's own format (not this one; this one's is in `magic`).
#pragma once

#include <cstddef>
#include <cstdint>

namespace outlive::abi {

inline constexpr char kStateCompatible[] = "outlive-state-v1";
inline constexpr uint64_t kStateMagic = 0x317674736c74756f;  // "outlstv1"

struct [[gnu::packed]] StateHeader {
  uint64_t magic;
  char compatible[48];     // the service's name for its format
  uint32_t version;        // that wrote it
  uint32_t oldest_reader;  // oldest version that can read it
  uint64_t layout_hash;    // of the structure, chosen by the service; 0: none
  uint32_t size;           // bytes that follow
  uint32_t crc;            // CRC32C of the bytes that follow
};
static_assert(sizeof(StateHeader) == 80);

}  // namespace outlive::abi
