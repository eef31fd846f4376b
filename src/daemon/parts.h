// What the daemon's parts share. Owned by the worker; all of one thread.
#pragma once

#include <algorithm>
#include <string>

#include "base/clock.h"
#include "daemon/config.h"
#include "daemon/fd_store.h"
#include "daemon/loop.h"
#include "daemon/refusal_log.h"
#include "daemon/throttle.h"
#include "daemon/turn_times.h"
#include "luo/core.h"
#include "machine/process/closer.h"
#include "machine/process/control.h"
#include "machine/process/launch.h"
#include "machine/process/opener.h"
#include "wire/runtime_dir.h"

namespace outlive::daemon {

class HandOver;
class HostUpdate;
class Ledger;
class Reloader;
class SelfUpdate;

// What the last attach put right, and with it nobody else ever will.
struct LeakLedger {
  uint64_t folios = 0;   // half made, half freed, or blobs that nothing named
  uint64_t tracker = 0;  // bits and nodes of the page tracker
  uint64_t pages = 0;    // preserved, but no record reached them
  uint64_t records = 0;  // begun, half removed, or not zero
  uint64_t changes = 0;  // committed, and applied only now
  uint64_t fds = 0;      // open, but no record named them
  uint64_t leaks() const { return folios + tracker + pages; }
};

struct Parts {
  const Config& config;
  wire::RuntimeDir runtime;
  std::string state_dir;
  machine::Control& control;
  Loop& loop;
  machine::Closer& closer;
  FdStore& store;
  machine::LaunchQueue& launches;
  machine::Opener& opener;
  kho::Arena& arena;
  luo::Core& core;
  const Clock& clock;
  uint64_t started_ns;  // of this worker's life
  std::function<std::string(bool previous)> read_log;
  std::function<uint64_t()> log_written;
  LeakLedger corrected;
  // Open files of the worker and its machine: not in records.
  std::function<std::vector<BorrowedFd>()> own_fds;
  uint64_t fd_limit;         // soft RLIMIT_NOFILE
  std::string confined;      // what is in force in this worker
  std::string machine = {};  // machine_choice.h
  SelfUpdate* self_update = nullptr;
  HostUpdate* host_update = nullptr;
  HandOver* hand_over = nullptr;
  Ledger* ledger = nullptr;
  Reloader* reloader = nullptr;
  std::function<std::string()> metrics = {};  // as text

  TurnTimes turns = {};
  RefusalLog refusals = {};
  Throttle throttle = Throttle(config.worker_share);

  luo::Records& records() const { return core.records(); }
  // The kernel hands out the lowest free number: one this high says that the table is nearly full.
  // The rest is kept back, so that operators are answered and services can be started.
  bool in_reserve(BorrowedFd fd) const {
    constexpr uint64_t kReserve = 64;
    return static_cast<uint64_t>(fd.get()) + kReserve >= fd_limit;
  }
  // The same for one user: a part is root's and outlived's own user's only.
  bool in_reserve(BorrowedFd fd, uint64_t uid) const {
    if (is_operator(uid)) return in_reserve(fd);
    return static_cast<uint64_t>(fd.get()) + std::max<uint64_t>(128, fd_limit / 16) >= fd_limit;
  }
  // Of the arena, too: ENOSPC for who would keep more in it, but for operators.
  Status room_in_arena(uint64_t uid) const {
    const uint64_t reserve = arena.size() / abi::kPageSize / 16;
    if (is_operator(uid) || arena.free_pages() > reserve) return {};
    return fail(ENOSPC,
                "arena: its last sixteenth is kept for root and outlived's own user: it needs a "
                "larger arena-max, or less in it");
  }
  // What is done for a user, from here to charge(): the worker's time, and the closer's.
  struct Expense {
    uint64_t uid;
    uint64_t since_ns;
    size_t closes;
  };
  Expense begin_expense(uint64_t uid) {
    const uint64_t begun = now();
    throttle.heard(uid, begun);
    return {uid, begun, closer.pending() + closer.closed()};
  }
  // Returns the time.
  uint64_t charge(const Expense& expense) {
    constexpr uint64_t kCloseNs = 3'000;  // what the closer needs for one, about
    const uint64_t end = now();
    if (is_operator(expense.uid) || !throttle.is_shared(expense.uid, end)) return end;
    const uint64_t closes = closer.pending() + closer.closed() - expense.closes;
    throttle.charge(expense.uid, end - expense.since_ns + closes * kCloseNs, end);
    return end;
  }
  static bool is_operator(uint64_t uid) { return daemon::is_operator(uid); }
  uint64_t now() const { return clock.now_ns(); }
};

}  // namespace outlive::daemon
