#include "resp.h"

#include <charconv>

namespace kv {
namespace {

// Reads "<mark><number>\r\n" at `*at`.
Parsed::Kind read_header(std::string_view input, char mark, size_t* at, int64_t* number) {
  constexpr size_t kLongest = 32;
  if (*at >= input.size()) return Parsed::Kind::kIncomplete;
  if (input[*at] != mark) return Parsed::Kind::kError;
  const size_t end = input.substr(0, *at + kLongest).find("\r\n", *at);
  if (end == std::string_view::npos) {
    return input.size() - *at >= kLongest ? Parsed::Kind::kError : Parsed::Kind::kIncomplete;
  }
  if (!parse_integer(input.substr(*at + 1, end - *at - 1), number)) return Parsed::Kind::kError;
  *at = end + 2;
  return Parsed::Kind::kRequest;
}

Parsed error(const char* text) {
  return {Parsed::Kind::kError, 0, text};
}

// What a person types: words on a line, without quotes.
Parsed parse_line(std::string_view input, Arguments* arguments) {
  const size_t end = input.find('\n');
  if (end == std::string_view::npos) {
    if (input.size() > kMaxLine) return error("ERR Protocol error: too big inline request");
    return {Parsed::Kind::kIncomplete};
  }
  constexpr char kSpace[] = " \t\r\n";
  for (size_t at = 0; (at = input.find_first_not_of(kSpace, at)) < end;) {
    const size_t stop = input.find_first_of(kSpace, at);
    arguments->push_back(input.substr(at, stop - at));
    at = stop;
  }
  return {Parsed::Kind::kRequest, end + 1};
}

void append_number(std::string* out, char mark, int64_t value) {
  char digits[24];
  const auto [end, bad] = std::to_chars(digits, digits + sizeof digits, value);
  (void)bad;  // every int64_t fits
  out->push_back(mark);
  out->append(digits, end);
  out->append("\r\n");
}

}  // namespace

Parsed parse_request(std::string_view input, Arguments* arguments) {
  arguments->clear();
  if (!input.empty() && input[0] != '*') return parse_line(input, arguments);
  size_t at = 0;
  int64_t count = 0;
  Parsed::Kind kind = read_header(input, '*', &at, &count);
  if (kind == Parsed::Kind::kError) return error("ERR Protocol error: invalid multibulk length");
  if (kind == Parsed::Kind::kIncomplete) return {kind};
  if (count > static_cast<int64_t>(kMaxArguments)) {
    return error("ERR Protocol error: invalid multibulk length");
  }
  for (int64_t i = 0; i < count; ++i) {
    int64_t length = 0;
    kind = read_header(input, '$', &at, &length);
    if (kind == Parsed::Kind::kIncomplete) return {kind};
    if (kind == Parsed::Kind::kError || length < 0 || length > static_cast<int64_t>(kMaxBulk)) {
      return error("ERR Protocol error: invalid bulk length");
    }
    const auto size = static_cast<size_t>(length);
    if (at + size > kMaxRequest) return error("ERR Protocol error: request too big");
    if (input.size() < at + size + 2) return {Parsed::Kind::kIncomplete};
    if (input.substr(at + size, 2) != "\r\n") {
      return error("ERR Protocol error: bulk string without its end");
    }
    arguments->push_back(input.substr(at, size));
    at += size + 2;
  }
  return {Parsed::Kind::kRequest, at};
}

void reply_simple(std::string* out, std::string_view text) {
  out->append("+").append(text).append("\r\n");
}

void reply_error(std::string* out, std::string_view text) {
  out->append("-").append(text).append("\r\n");
}

void reply_integer(std::string* out, int64_t value) {
  append_number(out, ':', value);
}

void reply_bulk(std::string* out, std::string_view bytes) {
  append_number(out, '$', static_cast<int64_t>(bytes.size()));
  out->append(bytes).append("\r\n");
}

void reply_null(std::string* out) {
  out->append("$-1\r\n");
}

void reply_array(std::string* out, size_t count) {
  append_number(out, '*', static_cast<int64_t>(count));
}

bool parse_integer(std::string_view text, int64_t* value) {
  const std::string_view digits = text.substr(!text.empty() && text[0] == '-' ? 1 : 0);
  if (digits.empty() || (digits[0] == '0' && text.size() > 1)) return false;
  const auto [end, bad] = std::from_chars(text.data(), text.data() + text.size(), *value);
  return bad == std::errc() && end == text.data() + text.size();
}

}  // namespace kv
