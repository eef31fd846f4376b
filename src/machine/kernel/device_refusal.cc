#include "machine/kernel/device_refusal.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/ranges.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <functional>
#include <memory>

#include "base/sys.h"

namespace outlive::machine {
namespace {

constexpr size_t kMostLines = 6;
constexpr size_t kMostLog = 4 << 20;

std::string meaning(int code) {
  switch (code) {
    case ENOENT:
    case ENODEV:
    case ENXIO:
      return "this kernel has no live update, or it is off (liveupdate=on), or it failed early";
    case EIO:
      return "the kernel could not read what the one before left";
    case EBUSY:
      return "another program has it open";
    case EACCES:
    case EPERM:
      return "not permitted";
    default:
      return "it can't be opened";
  }
}

// The names in a folder for as long as `visit` says true.
void visit_folder(const std::string& folder, const std::function<bool(const char*)>& visit) {
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(folder.c_str()), &::closedir);
  if (!directory) return;
  while (const dirent* entry = ::readdir(directory.get())) {
    if (entry->d_name[0] != '.' && !visit(entry->d_name)) return;
  }
}

bool same_file(const struct stat& one, const struct stat& other) {
  if (S_ISCHR(one.st_mode)) return S_ISCHR(other.st_mode) && one.st_rdev == other.st_rdev;
  return one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

// As far as it goes; "" when we may not read it.
std::string kernel_log() {
  const auto file = sys::open("/dev/kmsg", O_RDONLY | O_NONBLOCK);
  std::string text;
  std::array<std::byte, 8192> record;
  while (file && text.size() < kMostLog) {
    const auto got = sys::read(*file, record);
    if (!got && got.error().code == EPIPE) continue;  // overwritten: on with the next
    if (!got || *got == 0) break;
    text.append(reinterpret_cast<const char*>(record.data()), *got);
  }
  return text;
}

// The last one with these words.
std::string line_with(const std::vector<std::string>& log, std::string_view words) {
  std::string found;
  for (const std::string& line : log) {
    if (line.contains(words)) found = line;
  }
  return found;
}

}  // namespace

std::string who_has_open(const std::string& path) {
  struct stat wanted {};
  if (::stat(path.c_str(), &wanted) != 0) return {};
  std::string owner;
  visit_folder("/proc", [&](const char* process) {
    if (process[0] < '0' || process[0] > '9') return true;
    const std::string folder = fmt::format("/proc/{}/fd", process);
    visit_folder(folder, [&](const char* number) {
      struct stat one {};
      if (::stat(fmt::format("{}/{}", folder, number).c_str(), &one) != 0) return true;
      if (!same_file(wanted, one)) return true;
      const auto comm = sys::read_file(fmt::format("/proc/{}/comm", process), 64);
      const std::string name = comm ? comm->substr(0, comm->find('\n')) : "?";
      owner = fmt::format("pid {} ({})", process, name);
      return false;
    });
    return owner.empty();
  });
  return owner;
}

std::vector<std::string> liveupdate_lines(std::string_view records) {
  std::vector<std::string> lines;
  while (!records.empty()) {
    const size_t end = std::min(records.find('\n'), records.size());
    const std::string_view record = records.substr(0, end);
    records.remove_prefix(std::min(end + 1, records.size()));
    const size_t text = record.find(';');
    if (text == std::string_view::npos || record.starts_with(' ')) continue;  // of the line before
    const std::string_view line = record.substr(text + 1);
    for (const std::string_view part : {"luo", "KHO", "kho", "liveupdate", "memfd_luo"}) {
      if (!line.starts_with(part) || !line.substr(part.size()).starts_with(':')) continue;
      lines.emplace_back(line);
      break;
    }
  }
  if (lines.size() > kMostLines) lines.erase(lines.begin(), lines.end() - kMostLines);
  return lines;
}

std::vector<std::string> liveupdate_log() {
  return liveupdate_lines(kernel_log());
}

std::string log_text(const std::vector<std::string>& log) {
  if (log.empty()) return {};
  return fmt::format("; the kernel's log: {}", fmt::join(log, " | "));
}

bool gave_up_early(const Error& error, const std::vector<std::string>& log) {
  return error.code == ENOENT && !line_with(log, "disabling live update").empty();
}

std::string handed_on(const std::vector<std::string>& log) {
  return line_with(log, "Retrieved live update data");
}

std::string device_refusal(const Error& error, const std::vector<std::string>& log,
                           const std::string& path) {
  const bool early = gave_up_early(error, log);
  std::string text = fmt::format(
      "{}: {} ({})", path,
      early
          ? "the kernel could not take over what the one before left, and switched live update off"
          : meaning(error.code),
      errno_name(error.code));
  if (error.code == EBUSY) {
    if (const std::string owner = who_has_open(path); !owner.empty()) text += ": " + owner;
  }
  if (error.code == EACCES || error.code == EPERM) return text;
  return text + log_text(log);
}

}  // namespace outlive::machine
