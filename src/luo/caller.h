// Who asks.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

namespace outlive::luo {

// A session or service of another uid does not exist for it (ENOENT), unless it is root or the
// configuration grants it that session (grants.h).
struct Caller {
  uint64_t uid = 0;
  uint64_t gid = 0;
  int64_t pid = 0;
  uint64_t service = 0;     // ServiceSlot address of its service, 0: of none
  uint64_t generation = 0;  // that it speaks for
  // Supplementary groups, as of its connect; none: not asked for.
  std::shared_ptr<const std::vector<uint64_t>> groups = {};
  bool owns(uint64_t owner) const { return uid == 0 || uid == owner; }
};

}  // namespace outlive::luo
