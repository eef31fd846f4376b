// RESP2, the Redis protocol: taking requests apart, putting replies together.
//
// A request is an array of bulk strings: "*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n". Bytes arrive in any
// portions; a request that is not whole yet is simply parsed again when more is there (bulk strings
// are skipped by their length, so that is cheap). Nothing is copied: arguments point into the
// input.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace kv {

using Arguments = std::vector<std::string_view>;

inline constexpr size_t kMaxArguments = 64 * 1024;
inline constexpr size_t kMaxLine = 64 * 1024;
inline constexpr size_t kMaxBulk = 16u << 20;     // of one argument
inline constexpr size_t kMaxRequest = 64u << 20;  // of one request

struct Parsed {
  enum class Kind { kRequest, kIncomplete, kError };
  Kind kind;
  size_t size = 0;         // kRequest: bytes that it took
  const char* error = "";  // kError: the connection can't be understood any more
};

// The first request in `input`: an array, or a line of words ("PING\r\n"). An empty array or line
// is a request of no arguments.
Parsed parse_request(std::string_view input, Arguments* arguments);

// Replies are appended to `out`.
void reply_simple(std::string* out, std::string_view text);  // "+OK"
void reply_error(std::string* out, std::string_view text);   // "-ERR text"; text has the code word
void reply_integer(std::string* out, int64_t value);
void reply_bulk(std::string* out, std::string_view bytes);
void reply_null(std::string* out);
void reply_array(std::string* out, size_t count);  // `count` replies follow

// A whole decimal number, as Redis reads them: no spaces, no plus sign, no leading zeros.
bool parse_integer(std::string_view text, int64_t* value);

}  // namespace kv
