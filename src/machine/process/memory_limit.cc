#include "machine/process/memory_limit.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <sstream>

#include "base/sys.h"

namespace outlive::machine {
namespace {

constexpr uint64_t kNoLimit = uint64_t{1} << 60;  // v1 says PAGE_COUNTER_MAX, v2 "max"
constexpr uint64_t kLeastReserve = 8 << 20;
constexpr uint64_t kReservePart = 16;
constexpr size_t kMostGroups = 8;  // three descriptors each

// Of the group's files: a number at the beginning of the text; "max" is none.
uint64_t number_in(std::string_view text) {
  uint64_t value = kNoLimit;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

// Again and again from the beginning: these files are made when they are read.
std::string text_of(BorrowedFd file) {
  char buffer[8192];
  const ssize_t got = ::pread(file.get(), buffer, sizeof buffer, 0);
  return std::string(buffer, got > 0 ? static_cast<size_t>(got) : 0);
}

// The sum of "KEY NUMBER" of these keys.
uint64_t sum_of(const std::string& stat, std::initializer_list<std::string_view> keys) {
  uint64_t sum = 0;
  std::istringstream lines(stat);
  std::string key;
  uint64_t value = 0;
  while (lines >> key >> value) {
    if (std::find(keys.begin(), keys.end(), key) != keys.end()) sum += value;
  }
  return sum;
}

// proc(5): "ID PARENT MAJOR:MINOR ROOT MOUNTPOINT OPTIONS... - TYPE SOURCE SUPEROPTIONS"
struct Mount {
  std::string root;
  std::string point;
  bool second = false;
};

std::optional<Mount> parse_mount(const std::string& line) {
  std::istringstream words(line);
  std::string skipped;
  Mount mount;
  words >> skipped >> skipped >> skipped >> mount.root >> mount.point;
  while (words >> skipped && skipped != "-") {
  }
  std::string type;
  std::string source;
  std::string options;
  words >> type >> source >> options;
  mount.second = type == "cgroup2";
  const bool first = type == "cgroup" && ("," + options + ",").find(",memory,") != options.npos;
  if (!words || (!mount.second && !first)) return std::nullopt;
  return mount;
}

// Our group's path in that hierarchy: "ID:CONTROLLERS:PATH", v2's is "0::PATH".
std::optional<std::string> own_path(const std::string& groups, bool second) {
  std::istringstream lines(groups);
  for (std::string line; std::getline(lines, line);) {
    const size_t first = line.find(':');
    const size_t end = first == line.npos ? line.npos : line.find(':', first + 1);
    if (end == line.npos) continue;
    const std::string controllers = "," + line.substr(first + 1, end - first - 1) + ",";
    const bool ours = second ? line.starts_with("0::") : controllers.find(",memory,") != line.npos;
    if (ours) return line.substr(end + 1);
  }
  return std::nullopt;
}

}  // namespace

MemoryLimit MemoryLimit::open(const Places& places) {
  MemoryLimit limit;
  const Result<std::string> groups = sys::read_file(places.own_groups);
  const Result<std::string> mounts = sys::read_file(places.mounts);
  if (!groups || !mounts) return limit;
  std::istringstream lines(*mounts);
  for (std::string line; std::getline(lines, line);) {
    const std::optional<Mount> mount = parse_mount(line);
    const auto path = mount ? own_path(*groups, mount->second) : std::nullopt;
    if (!path) continue;
    // The mount may show only a part of the hierarchy, and not ours below it: then its top is what
    // there is to see.
    std::string rest = *path;
    if (mount->root != "/" && rest.starts_with(mount->root)) rest.erase(0, mount->root.size());
    for (;;) {
      limit.add(mount->point + rest, mount->second);
      if (rest.empty() || rest == "/") break;
      rest.erase(rest.rfind('/'));
    }
  }
  return limit;
}

void MemoryLimit::add(const std::string& folder, bool second) {
  if (groups_.size() == kMostGroups) return;
  const auto file = [&](const char* name) { return sys::open(folder + "/" + name, O_RDONLY); };
  Result<UniqueFd> limit = file(second ? "memory.max" : "memory.limit_in_bytes");
  Result<UniqueFd> usage = file(second ? "memory.current" : "memory.usage_in_bytes");
  Result<UniqueFd> stat = file("memory.stat");
  if (!limit || !usage || !stat) return;  // v2's top has no limit, and no files
  groups_.push_back({folder, limit.take(), usage.take(), stat.take()});
}

Status MemoryLimit::check(uint64_t bytes) const {
  for (const Group& group : groups_) {
    const uint64_t limit = number_in(text_of(group.limit));
    if (limit >= kNoLimit) continue;
    const uint64_t usage = number_in(text_of(group.usage));
    const uint64_t reserve = std::max(kLeastReserve, limit / kReservePart);
    if (usage < kNoLimit && usage + bytes + reserve <= limit) continue;
    const uint64_t cache =
        sum_of(text_of(group.stat),
               {"inactive_file", "active_file", "total_inactive_file", "total_active_file"});
    const uint64_t used = usage - std::min(usage, cache);
    if (usage < kNoLimit && used + bytes + reserve <= limit) continue;
    return fail(ENOSPC,
                "memory: {} of {} MiB of the control group {} are used, and {} MiB of it are kept "
                "free: raise its limit, or keep less",
                used >> 20, limit >> 20, group.path, reserve >> 20);
  }
  return {};
}

std::vector<BorrowedFd> MemoryLimit::fds() const {
  std::vector<BorrowedFd> list;
  for (const Group& group : groups_) {
    list.insert(list.end(), {group.limit, group.usage, group.stat});
  }
  return list;
}

}  // namespace outlive::machine
