// fsck: every page, record and index checked against each other, both ways. Reads only.
#pragma once

#include <string>
#include <vector>

#include "luo/core.h"

namespace outlive::luo {

struct Findings {
  std::vector<std::string> lines;  // empty: clean
  uint64_t pages = 0;
  uint64_t files = 0;
  uint64_t sessions = 0;
};

// `is_open`: whether a number is an open fd in the table.
Findings fsck(Core& core, const std::function<bool(BorrowedFd)>& is_open);

}  // namespace outlive::luo
