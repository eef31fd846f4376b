// Bodies of messages: the kernel's size rule (abi/liveupdate.h), what follows a structure, names
// and error texts. Everything that is read here came from a peer.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "abi/wire.h"
#include "base/result.h"

namespace outlive::wire {

// The `size` field that a body starts with. EINVAL: smaller than `minimum` (or no room for the
// field); EFAULT: larger than the body that came.
Result<uint32_t> body_size(std::span<const std::byte> body, size_t minimum);
// Bytes of [from, to) are zero, or E2BIG.
Status check_unknown_bytes(std::span<const std::byte> body, size_t from, size_t to);

// The structure at the start of a body. `minimum`: the size of its oldest version. What an older
// peer didn't send is zero; what a newer one sent beyond T must be zero (E2BIG). T::size is the
// peer's.
template <typename T>
Result<T> read_body(std::span<const std::byte> body, size_t minimum = sizeof(T)) {
  static_assert(std::is_trivially_copyable_v<T>);
  const size_t size = TRY(body_size(body, minimum));
  TRY(check_unknown_bytes(body, sizeof(T), size));
  T value{};
  std::memcpy(&value, body.data(), std::min(size, sizeof(T)));
  return value;
}

// What follows the structure, by the `size` field that body_size() has checked.
std::span<const std::byte> body_tail(std::span<const std::byte> body);
// The tail as exactly `count` entries (u64 tokens, ListEntry ...). EINVAL: not that many bytes.
template <typename T>
Result<std::vector<T>> read_tail(std::span<const std::byte> body, size_t count) {
  static_assert(std::is_trivially_copyable_v<T>);
  const auto tail = body_tail(body);
  if (count > tail.size() / sizeof(T) || tail.size() != count * sizeof(T)) {
    return fail(EINVAL, "{} bytes follow, {} entries of {} were announced", tail.size(), count,
                sizeof(T));
  }
  std::vector<T> entries(count);
  if (count != 0) std::memcpy(entries.data(), tail.data(), tail.size());
  return entries;
}

template <typename T>
std::span<const std::byte> bytes_of(const T& value) {
  static_assert(std::is_trivially_copyable_v<T>);
  return std::as_bytes(std::span(&value, 1));
}
// A reply never writes more of a structure than its caller knows.
template <typename T>
std::span<const std::byte> reply_bytes(const T& value, uint32_t caller_size) {
  return bytes_of(value).first(std::min<size_t>(sizeof(T), caller_size));
}

// A zeroed structure with its `size` set.
template <typename T>
T sized() {
  T value{};
  value.size = sizeof(T);
  return value;
}

// The kernel's rule: 1 to 63 bytes and a NUL; EINVAL.
Result<std::string> read_name(std::span<const uint8_t, abi::kSessionNameLength> field);
// Ours, for names that people choose: as above and UTF-8 without control characters.
// `what` is for the text ("session name"). ENAMETOOLONG, EINVAL.
Status check_name(std::string_view name, std::string_view what);
// Copies a checked name and zeroes the rest of the field.
void write_name(std::string_view name, std::span<uint8_t, abi::kSessionNameLength> field);
// Text up to the first NUL, or all of the field.
std::string_view text_of(std::span<const char> field);
// As much as fits, cut at a character's start, NUL-terminated, the rest zeroed.
void write_text(std::string_view text, std::span<char> field);

abi::ErrorBody error_body(const Error& error);
// The text of an error reply; "" when it has none.
std::string read_error_text(std::span<const std::byte> body);

}  // namespace outlive::wire
