#include "cli/format.h"

#include <charconv>

namespace outlive::cli {

std::string duration_text(int64_t us) {
  if (us < 0) return fmt::format("-{}", duration_text(-us));
  if (us < 1'000) return fmt::format("{} us", us);
  const double value = static_cast<double>(us);
  if (us < 1'000'000) return fmt::format("{:.2f} ms", value / 1e3);
  const int64_t seconds = us / 1'000'000;
  if (seconds < 60) return fmt::format("{:.1f} s", value / 1e6);
  if (seconds < 3600) return fmt::format("{}m {:02}s", seconds / 60, seconds % 60);
  if (seconds < 86400) return fmt::format("{}h {:02}m", seconds / 3600, seconds / 60 % 60);
  return fmt::format("{}d {}h", seconds / 86400, seconds / 3600 % 24);
}

std::string grouped(int64_t number) {
  const std::string digits = fmt::format("{}", number);
  const size_t sign = number < 0 ? 1 : 0;
  std::string text;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > sign && (digits.size() - i) % 3 == 0) text += ',';
    text += digits[i];
  }
  return text;
}

std::string bytes_text(int64_t bytes) {
  static constexpr const char* kUnits[] = {"KiB", "MiB", "GiB", "TiB", "PiB"};
  if (bytes < 1024) return fmt::format("{} B", bytes);
  double value = static_cast<double>(bytes) / 1024;
  size_t unit = 0;
  while (value >= 1024 && unit + 1 < std::size(kUnits)) {
    value /= 1024;
    ++unit;
  }
  return fmt::format("{:.1f} {}", value, kUnits[unit]);
}

std::string count_text(int64_t count, std::string_view noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

std::string clean(std::string_view text) {
  std::string cleaned(text);
  for (size_t i = 0; i < cleaned.size(); ++i) {
    const auto byte = static_cast<unsigned char>(cleaned[i]);
    if (byte < 0x20 || byte == 0x7f) cleaned[i] = '?';
    // C1 control characters, in UTF-8 c2 80 to c2 9f.
    const bool c1 = byte == 0xc2 && i + 1 < cleaned.size() &&
                    (static_cast<unsigned char>(cleaned[i + 1]) & 0xe0) == 0x80;
    if (c1) {
      cleaned[i] = '?';
      cleaned.erase(i + 1, 1);
    }
  }
  return cleaned;
}

Result<int64_t> parse_duration_ms(std::string_view text) {
  int64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [rest, code] = std::from_chars(text.data(), end, value);
  const std::string_view unit(rest, static_cast<size_t>(end - rest));
  int64_t factor = 0;
  if (unit == "ms") factor = 1;
  if (unit == "s" || unit.empty()) factor = 1000;
  if (unit == "m") factor = 60'000;
  if (code != std::errc() || factor == 0 || value < 0 || value > 86'400'000) {
    return fail(EINVAL, "'{}' is no duration: write 500ms, 30s or 2m", text);
  }
  return value * factor;
}

std::string command_text(const std::vector<std::string>& argv) {
  std::string text;
  for (const std::string& word : argv) {
    const bool plain = !word.empty() && word.find_first_not_of(
                                            "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                            "0123456789_@%+=:,./-") == word.npos;
    if (!text.empty()) text += ' ';
    text += plain ? word : fmt::format("'{}'", clean(word));
  }
  return text;
}

}  // namespace outlive::cli
