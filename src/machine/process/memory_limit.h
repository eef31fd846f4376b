// How much memory outlived's control groups leave it: the arena's file is charged to them, and what
// goes over is answered by the OOM killer. So it is asked before the file grows.
//
// cgroup v2 (memory.max, memory.current, memory.stat) and v1 (memory.limit_in_bytes,
// memory.usage_in_bytes, memory.stat), of the own group and all groups above it that are to be
// seen: Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst of the kernel. What is
// charged and can be given back at once, the page cache of files, counts as free.
//
// Threads: open() once, before a process gives up what it needs for it; room() in any of its
// clones.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace outlive::machine {

class MemoryLimit {
 public:
  // Where the kernel says it; another place for tests.
  struct Places {
    std::string own_groups = "/proc/self/cgroup";
    std::string mounts = "/proc/self/mountinfo";
  };
  // None at all where there is no such controller: then everything fits.
  static MemoryLimit open(const Places& places);
  static MemoryLimit open() { return open(Places()); }

  // ENOSPC, with what to do: so many more bytes would leave less than what the processes need
  // themselves (a sixteenth of the limit, at least 8 MiB).
  Status check(uint64_t bytes) const;
  // Open for as long as this lives.
  std::vector<BorrowedFd> fds() const;

 private:
  struct Group {
    std::string path;
    UniqueFd limit;
    UniqueFd usage;
    UniqueFd stat;
  };
  void add(const std::string& folder, bool second);

  std::vector<Group> groups_;  // the own one first
};

}  // namespace outlive::machine
