// What a new configuration changes in the one in force: for people, and for who applies it.
//
// Pure: two configurations in. Where `refused` isn't empty, a key has changed that only a start
// reads, and nothing of it may be taken; what it says is kept from `config`, all the same.
//
// A member that Config gets is compared in config_change.cc, which doesn't compile until it is; its
// key and another value of it stand in config_change_test.cc, which fails until they do.
#pragma once

#include <string>
#include <vector>

#include "daemon/config.h"

namespace outlive::daemon {

struct ConfigChange {
  Config config;                              // to be in force
  std::vector<std::string> applied;           // "[limits] files-per-uid: 8192 -> 100"
  std::vector<std::string> refused;           // likewise; only a start reads them
  std::vector<std::string> pending;           // what waits, and for what
  std::vector<RegionConfig> new_regions;      // to be reserved
  std::vector<std::string> new_services;      // names
  std::vector<std::string> changed_services;  // names
};

ConfigChange compare(const Config& in_force, Config wanted);

}  // namespace outlive::daemon
