// The header before a service's own versioned state (abi/state_header.h): sealing and checking.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "abi/state_header.h"
#include "base/result.h"

namespace outlive::client {

struct StateFormat {
  std::string_view compatible;  // 1 to 47 bytes
  uint32_t version = 0;
  uint32_t oldest_reader = 0;
  uint64_t layout_hash = 0;  // 0: not compared
};

// EINVAL: no or too long a name, oldest_reader above version, more than 4 GiB.
Result<abi::StateHeader> seal_state(const StateFormat& format, std::span<const std::byte> bytes);

// The version that wrote `bytes`. EPROTO: another format, too old for `oldest_readable`, or so new
// that format.version can't read it (both named), or of another layout; EUCLEAN: damaged.
Result<uint32_t> check_state(const StateFormat& format, uint32_t oldest_readable,
                             const abi::StateHeader& header, std::span<const std::byte> bytes);

}  // namespace outlive::client
