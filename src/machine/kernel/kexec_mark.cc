#include "machine/kernel/kexec_mark.h"

#include <fmt/chrono.h>

#include <algorithm>
#include <charconv>
#include <vector>

#include "abi/kexec_mark.h"

namespace outlive::machine {
namespace {

constexpr std::string_view kPlain =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789./_-";
constexpr std::string_view kBlank = " \t\n";

// As the kernel splits it: blanks between double quotes are part of the word.
std::vector<std::string_view> words_of(std::string_view line) {
  std::vector<std::string_view> words;
  for (size_t at = 0; at < line.size();) {
    size_t end = at;
    for (bool quoted = false; end < line.size(); ++end) {
      if (line[end] == '"') quoted = !quoted;
      if (!quoted && kBlank.contains(line[end])) break;
    }
    if (end > at) words.push_back(line.substr(at, end - at));
    at = end + 1;
  }
  return words;
}

std::optional<KexecMark> read_mark(std::string_view text) {
  KexecMark mark;
  const size_t colon = std::min(text.find(':'), text.size());
  const char* end = text.data() + colon;
  const auto parsed = std::from_chars(text.data(), end, mark.seconds);
  if (parsed.ec != std::errc{} || parsed.ptr != end || mark.seconds < 0) return std::nullopt;
  for (std::string_view rest = text.substr(std::min(colon + 1, text.size())); !rest.empty();) {
    if (rest[0] != '%') {
      mark.runtime_dir += rest[0];
      rest.remove_prefix(1);
      continue;
    }
    unsigned char byte = 0;
    if (rest.size() < 3) return std::nullopt;
    const auto hex = std::from_chars(rest.data() + 1, rest.data() + 3, byte, 16);
    if (hex.ptr != rest.data() + 3) return std::nullopt;
    mark.runtime_dir += static_cast<char>(byte);
    rest.remove_prefix(3);
  }
  if (mark.runtime_dir.empty()) return std::nullopt;
  return mark;
}

}  // namespace

std::string KexecMark::text() const {
  std::string text = fmt::format("{}{}:", abi::kMarkKey, seconds);
  for (const char byte : runtime_dir) {
    if (kPlain.contains(byte)) {
      text += byte;
    } else {
      text += fmt::format("%{:02x}", static_cast<unsigned char>(byte));
    }
  }
  return text;
}

std::string KexecMark::time_text() const {
  constexpr int64_t kMost = 253'402'300'799;  // the end of the year 9999
  const auto time = static_cast<time_t>(std::clamp<int64_t>(seconds, 0, kMost));
  return fmt::format("{:%Y-%m-%d %H:%M:%S} UTC", fmt::gmtime(time));
}

std::string with_mark(std::string_view cmdline, const KexecMark& mark) {
  std::string line;
  const auto add = [&line](std::string_view word) {
    if (!line.empty()) line += ' ';
    line += word;
  };
  bool of_init = false;
  for (const std::string_view word : words_of(cmdline)) {
    if (!of_init && word.starts_with(abi::kMarkKey)) continue;
    if (!of_init && word == "--") {
      add(mark.text());
      of_init = true;
    }
    add(word);
  }
  if (!of_init) add(mark.text());
  return line;
}

std::optional<KexecMark> mark_in(std::string_view cmdline) {
  std::optional<KexecMark> mark;
  for (std::string_view word : words_of(cmdline)) {
    if (word == "--") break;
    if (!word.starts_with(abi::kMarkKey)) continue;
    mark = read_mark(word.substr(sizeof abi::kMarkKey - 1));
  }
  return mark;
}

bool may_be_of(const KexecMark& mark, int64_t boot_began_s) {
  return boot_began_s - abi::kMarkSeconds <= mark.seconds;
}

bool is_stale(const KexecMark& mark, int64_t now_s) {
  return now_s - abi::kMarkPreserveSeconds > mark.seconds;
}

}  // namespace outlive::machine
