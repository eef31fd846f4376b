// What each user has, as the records say it: for fsck, and tests of quotas.
#pragma once

#include <cstdint>
#include <map>

#include "luo/records.h"

namespace outlive::luo {

struct Usage {
  uint64_t sessions = 0;
  uint64_t files = 0;
  uint64_t connections = 0;  // of devices and sessions
  uint64_t subtrees = 0;
  uint64_t subtree_bytes = 0;
  uint64_t services = 0;
  uint64_t arena_bytes = 0;  // what is charged to it: see arena_quota.h
};

// By uid; who has nothing isn't in it. Walks all records and looks at each folio: not for a
// request.
std::map<uint64_t, Usage> usage_by_uid(Records& records);

}  // namespace outlive::luo
