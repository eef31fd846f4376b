// What the core is handed: nothing here reads a clock, a socket or a file by itself.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "base/clock.h"
#include "luo/caller.h"
#include "luo/file_handler.h"
#include "luo/grants.h"
#include "luo/records.h"

namespace outlive::luo {

class ArenaQuota;

constexpr uint64_t kNoLimit = UINT64_MAX;

// Quotas of one uid.
struct Limits {
  uint64_t sessions = 10'000;
  uint64_t files = 16'000;
  uint64_t connections = 4'096;
  uint64_t subtrees = 256;
  uint64_t subtree_bytes = 1 << 20;
  uint64_t updates = 64;  // of one service: records that are kept, with their timelines
  uint64_t services = 64;
  uint64_t arena_bytes = kNoLimit;  // 0: a sixteenth of the arena
};

struct Context {
  Records* records = nullptr;
  const ArenaQuota* arena_quota = nullptr;  // as the records, the core's
  const std::vector<std::unique_ptr<FileHandler>>* handlers = nullptr;  // in order of asking
  const Clock* clock = nullptr;
  Limits limits;
  bool kernel_format = false;                // the subtree "LUO" is there (luo/format.h)
  std::map<uint64_t, Limits> limits_by_uid;  // of users that have others
  const Limits& limits_of(uint64_t uid) const {
    const auto found = limits_by_uid.find(uid);
    return found == limits_by_uid.end() ? limits : found->second;
  }
  Grants grants;
  // Names of sessions are bytes, as the kernel's are: nothing but their length is checked.
  bool names_are_bytes = false;
  // Learns what an fd is, without blocking on it: all that there is to know; and only what chooses
  // its handler, which is asked for by the thousand (no `detail`).
  std::function<Result<FileFacts>(BorrowedFd)> classify;
  std::function<Result<FileFacts>(BorrowedFd)> classify_to_preserve;
  // Of these only `device` and `inode`: every worker asks it of every file that it takes up.
  std::function<Result<FileIdentity>(BorrowedFd)> identify;
  // How long (ns) a session that nobody holds waits to be claimed; 0, or no function: for ever.
  std::function<uint64_t(const abi::SessionSlot&)> lease_ns;
  // Hears of every file's fd that a record names as of its commit, before anything is answered.
  std::function<void(BorrowedFd)> hold = [](BorrowedFd) {};
  // Takes an fd that no record names any more: it is closed, by somebody who may block.
  std::function<void(BorrowedFd)> release;
};

}  // namespace outlive::luo
