// Unpacking what a kernel's image has packed (abi/kernel_image.h). Nothing in it is believed: the
// unpacked size is bounded before memory is taken, and what unpacks to another size is damaged.
#pragma once

#include <cstddef>
#include <span>

#include "base/result.h"
#include "base/sys.h"

namespace outlive::cli {

using Bytes = std::span<const std::byte>;

inline Bytes bytes_of(const sys::Mapping& mapping) {
  return {mapping.data(), mapping.size()};
}

// EOPNOTSUPP: packed in a way that isn't known here; EUCLEAN: damaged, or cut short; EFBIG: more
// than `most`.
Result<sys::Mapping> unpack_payload(Bytes payload, size_t most);

// What is packed with gzip at the beginning of `packed`, whatever stands behind it; the same
// errors.
Result<sys::Mapping> unpack_gzip(Bytes packed, size_t most);

}  // namespace outlive::cli
