#include "daemon/service_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "base/sys.h"

namespace outlive::daemon {
namespace {
constexpr uint64_t kRotateAbove = 16 << 20;
constexpr uint64_t kMostRead = 96 << 10;  // of one answer
}  // namespace

Status ServiceLogs::prepare() const {
  for (size_t at = 1; at != std::string::npos; at = at == 0 ? std::string::npos : at) {
    at = folder_.find('/', at);
    const std::string part = folder_.substr(0, at);
    const Status made = sys::mkdir(part, 0755);
    if (!made && made.error().code != EEXIST) return made;
    if (at != std::string::npos) ++at;
  }
  return {};
}

// A service's name may hold a '/': it becomes '_' in a file's name, and the uid keeps users apart.
std::string ServiceLogs::path(const std::string& name, uint64_t uid) const {
  std::string safe = name;
  std::replace(safe.begin(), safe.end(), '/', '_');
  if (safe[0] == '.') safe[0] = '_';
  return fmt::format("{}/{}-{}.log", folder_, uid, safe);
}

Result<UniqueFd> ServiceLogs::open(const std::string& name, uint64_t uid, uint64_t gid) const {
  const std::string file = path(name, uid);
  constexpr int kFlags = O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW;
  UniqueFd log = TRY(sys::open(file, kFlags, 0640));
  const struct stat facts = TRY(sys::fstat(log));
  if (static_cast<uint64_t>(facts.st_size) > kRotateAbove) {
    TRY(sys::rename(file, file + ".1"));
    log = TRY(sys::open(file, kFlags, 0640));
  }
  if (uid != geteuid() &&
      ::fchown(log.get(), static_cast<uid_t>(uid), static_cast<gid_t>(gid)) != 0) {
    return fail_errno(file);
  }
  return log;
}

Result<ServiceLogs::Text> ServiceLogs::read(const std::string& name, uint64_t uid, uint64_t lines,
                                            int64_t after) const {
  const UniqueFd log = TRY(sys::open(path(name, uid), O_RDONLY | O_NOFOLLOW));
  const struct stat facts = TRY(sys::fstat(log));
  const auto size = static_cast<uint64_t>(facts.st_size);
  uint64_t from = size > kMostRead ? size - kMostRead : 0;
  if (after >= 0) from = std::max(from, std::min(size, static_cast<uint64_t>(after)));
  Text result;
  result.text.resize(size - from);
  if (::lseek(log.get(), static_cast<off_t>(from), SEEK_SET) < 0) return fail_errno("log");
  const size_t got = TRY(sys::read(log, std::as_writable_bytes(std::span(result.text))));
  result.text.resize(got);
  result.position = from + got;
  if (after >= 0) return result;
  size_t start = result.text.size();
  for (uint64_t seen = 0; start > 0; --start) {
    if (result.text[start - 1] == '\n' && start != result.text.size() && ++seen == lines) break;
  }
  result.text.erase(0, start);
  return result;
}

}  // namespace outlive::daemon
