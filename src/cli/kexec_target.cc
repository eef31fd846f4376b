#include "cli/kexec_target.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <vector>

namespace outlive::cli {
namespace {

constexpr off_t kMagicAt = 0x202;    // "HdrS"
constexpr off_t kVersionAt = 0x20e;  // u16, from 0x200 on
constexpr size_t kMostVersion = 512;

bool read_at(BorrowedFd file, off_t at, void* to, size_t size) {
  return ::pread(file.get(), to, size, at) == static_cast<ssize_t>(size);
}

std::vector<std::string_view> words_of(std::string_view line) {
  std::vector<std::string_view> words;
  for (size_t at = 0; at < line.size();) {
    const size_t end = std::min(line.find_first_of(" \n", at), line.size());
    if (end > at) words.push_back(line.substr(at, end - at));
    at = end + 1;
  }
  return words;
}

}  // namespace

Result<std::string> version_of_image(BorrowedFd image) {
  char magic[4] = {};
  uint16_t where = 0;
  if (!read_at(image, kMagicAt, magic, sizeof magic) || memcmp(magic, "HdrS", 4) != 0)
    return std::string();
  if (!read_at(image, kVersionAt, &where, sizeof where) || where == 0) return std::string();
  char text[kMostVersion] = {};
  const ssize_t got = ::pread(image.get(), text, sizeof text - 1, 0x200 + where);
  if (got < 0) return fail_errno("reading the kernel's image");
  return std::string(text);
}

std::optional<std::string> why_not_target(std::string_view version, std::string_view cmdline,
                                          std::string_view running_cmdline,
                                          std::string_view running_release,
                                          std::string_view running_version) {
  const bool same = version.starts_with(std::string(running_release) + " ") &&
                    version.ends_with(" " + std::string(running_version));
  if (!version.empty() && !same) {
    return fmt::format("it is another kernel ({}) than the running one ({} {})", version,
                       running_release, running_version);
  }
  const auto words = words_of(cmdline);
  for (const std::string_view word : words_of(running_cmdline)) {
    if (!word.starts_with("kho=") && !word.starts_with("liveupdate=")) continue;
    if (std::ranges::count(words, word) == 0) {
      return fmt::format("its command line lacks {}, which the running kernel has", word);
    }
  }
  return std::nullopt;
}

}  // namespace outlive::cli
