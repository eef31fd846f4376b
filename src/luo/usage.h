// What each user has, as the records say it: for operators, metrics, and tests of quotas.
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
  uint64_t services = 0;
  uint64_t bytes = 0;  // of the arena: its records, subtrees and launch specifications
};

// By uid; who has nothing isn't in it. Walks all records: not for every request.
std::map<uint64_t, Usage> usage_by_uid(Records& records);

}  // namespace outlive::luo
