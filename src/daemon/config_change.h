// What a new configuration changes in the one in force: for people, and for who applies it.
//
// Pure: two configurations in, the one that shall be in force out. A key that only a start reads
// keeps its value and is told as pending; everything else takes the new one.
#pragma once

#include <string>
#include <vector>

#include "daemon/config.h"

namespace outlive::daemon {

struct ConfigChange {
  Config config;                              // to be in force
  std::vector<std::string> applied;           // "[limits] files-per-uid: 8192 -> 100"
  std::vector<std::string> pending;           // what waits, and for what
  std::vector<RegionConfig> new_regions;      // to be reserved
  std::vector<std::string> new_services;      // names
  std::vector<std::string> changed_services;  // names
};

ConfigChange compare(const Config& in_force, Config wanted);

}  // namespace outlive::daemon
