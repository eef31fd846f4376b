#include "wire/body.h"

namespace outlive::wire {
namespace {

// Length of the UTF-8 sequence that starts `text`, 0 when it isn't one (overlong forms,
// surrogates and what lies beyond U+10FFFF are none).
size_t utf8_sequence(std::string_view text) {
  const auto at = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t lead = at(0);
  if (lead < 0x80) return 1;
  const size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((at(i) & 0xc0) != 0x80) return 0;
  }
  if (lead == 0xe0 && at(1) < 0xa0) return 0;
  if (lead == 0xed && at(1) > 0x9f) return 0;
  if (lead == 0xf0 && at(1) < 0x90) return 0;
  if (lead == 0xf4 && at(1) > 0x8f) return 0;
  return length;
}

}  // namespace

Result<uint32_t> body_size(std::span<const std::byte> body, size_t minimum) {
  uint32_t size = 0;
  if (body.size() < sizeof size) {
    return fail(EINVAL, "a body of {} bytes has no size field", body.size());
  }
  std::memcpy(&size, body.data(), sizeof size);
  if (size < minimum || size < sizeof size) {
    return fail(EINVAL, "size field {} is smaller than {}", size, minimum);
  }
  if (size > body.size()) {
    return fail(EFAULT, "size field {} is larger than the {} bytes that came", size, body.size());
  }
  return size;
}

Status check_unknown_bytes(std::span<const std::byte> body, size_t from, size_t to) {
  for (size_t i = from; i < to; ++i) {
    if (body[i] != std::byte{0}) {
      return fail(E2BIG, "byte {} is not zero, and this version knows only {} bytes", i, from);
    }
  }
  return {};
}

std::span<const std::byte> body_tail(std::span<const std::byte> body) {
  const auto size = body_size(body, sizeof(uint32_t));
  return size ? body.subspan(*size) : std::span<const std::byte>{};
}

Result<std::string> read_name(std::span<const uint8_t, abi::kSessionNameLength> field) {
  const void* end = std::memchr(field.data(), 0, field.size());
  if (end == nullptr) {
    return fail(EINVAL, "a name has no NUL in its {} bytes", field.size());
  }
  if (end == field.data()) return fail(EINVAL, "a name is empty");
  return std::string(reinterpret_cast<const char*>(field.data()));
}

Status check_name(std::string_view name, std::string_view what) {
  if (name.empty()) return fail(EINVAL, "a {} is empty", what);
  if (name.size() >= abi::kSessionNameLength) {
    return fail(ENAMETOOLONG, "{} '{}': {} bytes, at most {}", what, name.substr(0, 32),
                name.size(), abi::kSessionNameLength - 1);
  }
  for (size_t i = 0; i < name.size();) {
    const size_t length = utf8_sequence(name.substr(i));
    if (length == 0) return fail(EINVAL, "a {} is not UTF-8 at byte {}", what, i);
    const auto byte = static_cast<uint8_t>(name[i]);
    if (byte < 0x20 || byte == 0x7f) {
      return fail(EINVAL, "a {} has a control character at byte {}", what, i);
    }
    i += length;
  }
  return {};
}

void write_name(std::string_view name, std::span<uint8_t, abi::kSessionNameLength> field) {
  const size_t length = std::min(name.size(), field.size() - 1);
  std::ranges::fill(field, uint8_t{0});
  std::memcpy(field.data(), name.data(), length);
}

std::string_view text_of(std::span<const char> field) {
  return {field.data(), ::strnlen(field.data(), field.size())};
}

void write_text(std::string_view text, std::span<char> field) {
  size_t length = std::min(text.size(), field.size() - 1);
  if (length < text.size()) {
    while (length > 0 && (static_cast<uint8_t>(text[length]) & 0xc0) == 0x80) --length;
  }
  std::ranges::fill(field, '\0');
  if (length != 0) std::memcpy(field.data(), text.data(), length);
}

abi::ErrorBody error_body(const Error& error) {
  auto body = sized<abi::ErrorBody>();
  write_text(error.message, body.text);
  return body;
}

std::string read_error_text(std::span<const std::byte> body) {
  const auto read = read_body<abi::ErrorBody>(body, sizeof(uint32_t));
  if (!read) return {};
  return std::string(text_of((*read).text));
}

}  // namespace outlive::wire
