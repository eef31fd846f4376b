// Values as people read them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace outlive::cli {

// "412 us", "1.24 ms", "3.1 s", "2m 05s", "3h 12m", "4d 3h".
std::string duration_text(int64_t us);
// "12,345"
std::string grouped(int64_t number);
// "812 B", "4.0 KiB", "1.5 GiB"
std::string bytes_text(int64_t bytes);
// "1 file", "2 files"
std::string count_text(int64_t count, std::string_view noun);
// Names come from other users: control characters (a terminal would obey them) become '?'.
std::string clean(std::string_view text);
// "30s", "500ms", "2m"; a bare number is seconds. EINVAL.
Result<int64_t> parse_duration_ms(std::string_view text);
// The words as a shell would take them.
std::string command_text(const std::vector<std::string>& argv);

}  // namespace outlive::cli
