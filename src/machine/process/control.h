// Control: the memory that keeper, spare and worker share (abi/control_block.h), with typed
// accessors.
//
// Created once by the first keeper; every process cloned from it has the mapping. No locks: every
// word has one writer, which is named at its accessor. The fds in it are those of the shared table;
// nobody may destroy a Control while another process of the table is alive (run_keeper sees to it).
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "abi/control_block.h"
#include "base/fault.h"
#include "base/result.h"
#include "base/sys.h"
#include "base/unique_fd.h"

namespace outlive::machine {

// Words of shared memory. Release is enough between processes of which one may be killed.
template <typename T>
T load_word(const T& word) {
  return std::atomic_ref<T>(const_cast<T&>(word)).load(std::memory_order_acquire);
}
template <typename T>
void store_word(T& word, T value) {
  FAULT_POINT("machine.store");
  std::atomic_ref<T>(word).store(value, std::memory_order_release);
}

// How a launched child ended.
struct ChildExit {
  pid_t pid = 0;
  int code = 0;    // CLD_EXITED, CLD_KILLED, CLD_DUMPED; 0: it is gone, nobody knows how
  int status = 0;  // exit code, or signal
  int64_t packed() const { return int64_t{code} << 32 | status; }  // as records keep it
  static ChildExit from_packed(pid_t pid, int64_t packed);
  std::string text() const;  // "exit code 3", "signal 9 (Killed)", "ended"
};

// A launched child that runs, or waits at its gate.
struct Child {
  pid_t pid = 0;
  BorrowedFd pidfd;
  bool waits_at_gate = false;
};

class Control {
 public:
  // A new block, with its eventfds.
  static Result<Control> create();
  // The one that another binary left to this one over its exec, with its eventfds. EPROTO: that is
  // none, or of another version.
  static Result<Control> inherit(BorrowedFd memory);

  abi::ControlBlock& block() const { return *block_; }
  BorrowedFd fd() const { return memory_; }

  // --- worker's side -----------------------------------------------------------------------------
  // Once a turn of the loop, and in any work that can take a second: a worker whose heartbeat is
  // older than KeeperOptions::heartbeat_timeout_ns is killed.
  void beat(uint64_t now_ns) { store_word(block_->heartbeat_ns, now_ns); }
  // kServing (or kHolding) also lets the keeper make its spare; before that it opens no fd, so that
  // close_orphans() can't take one from it.
  void set_worker_state(abi::WorkerState state);
  // SIGTERM and SIGINT so far: not 0: stop the services in order, then return 0 from worker_main.
  uint64_t stop_requested() const { return load_word(block_->stop_requested); }
  // An operator asks for the end, for good, over deaths too. (The keeper may count at the same
  // time: one of the two may be missing in the count, never the wish.)
  void request_end() {
    store_word(block_->end, static_cast<uint64_t>(abi::EndKind::kForGood));
    store_word(block_->stop_requested, stop_requested() + 1);
  }
  // The end has begun, and is of this kind, unless it is of another one already.
  void begin_end(abi::EndKind kind) {
    if (end_kind() == abi::EndKind::kNone) store_word(block_->end, static_cast<uint64_t>(kind));
  }
  abi::EndKind end_kind() const { return static_cast<abi::EndKind>(load_word(block_->end)); }
  uint64_t reload_count() const { return load_word(block_->reload_count); }
  // Readable when the keeper has something: a launch done, an exit, a stop, a reload.
  BorrowedFd worker_wake() const { return worker_wake_; }
  // Makes the wake fd unreadable; call it before looking at what has come.
  void drain_worker_wake() const { drain(worker_wake_); }
  // The next exit, and the same one again until it is popped: write it down, then pop. So an exit
  // is never lost over a death of the worker (it may come twice).
  std::optional<ChildExit> peek_exit() const;
  // Forgets it, and closes the child's pidfd.
  void pop_exit();
  // Enters a process that another outlived launched, and whose parent we are not: its exit comes as
  // of any child. Takes the pidfd. EAGAIN: kMaxChildren are there.
  Status take_on_child(pid_t pid, UniqueFd pidfd);
  std::vector<Child> children() const;
  std::optional<Child> child(pid_t pid) const;
  // Every fd of the shared table that the machine itself needs; not orphans. Unsorted.
  std::vector<BorrowedFd> held_fds() const;
  pid_t keeper_pid() const { return static_cast<pid_t>(load_word(block_->keeper_pid)); }
  pid_t worker_pid() const { return static_cast<pid_t>(load_word(block_->worker_pid)); }
  pid_t spare_pid() const { return static_cast<pid_t>(load_word(block_->spare_pid)); }
  abi::WorkerState worker_state() const {
    return static_cast<abi::WorkerState>(load_word(block_->worker_state));
  }
  // Deaths in a row after which what was in work at each of them is not tried again. A kill from
  // outside says little about what it hit, so it takes more of those.
  uint64_t most_deaths_of_one() const {
    const auto last = static_cast<abi::DeathKind>(load_word(block_->last_death));
    return last == abi::DeathKind::kOutside ? 4 : 2;
  }
  void wake_keeper() const { wake(keeper_wake_); }
  abi::OperatorWords& operators() const { return block_->operators; }
  // The text of the configuration in force: of the table, so deaths of worker and keeper and an
  // exec leave it. Replaced as a whole, or not at all.
  Status keep_config(std::string_view text);
  Result<std::string> kept_config() const;  // ENOENT: none
  BorrowedFd config_file() const { return kept(block_->operators.config_file, S_IFREG); }
  // Listener of the metrics; invalid: none.
  BorrowedFd metrics_listener() const { return kept(block_->operators.metrics_file, S_IFSOCK); }
  // Takes it (invalid: none from now on), and gives the one before.
  Result<UniqueFd> keep_metrics_listener(UniqueFd listener);

  // --- keeper's side -----------------------------------------------------------------------------
  void wake_worker() const { wake(worker_wake_); }
  BorrowedFd keeper_wake() const { return keeper_wake_; }
  void drain_keeper_wake() const { drain(keeper_wake_); }
  void wake_spare() const { wake(BorrowedFd(static_cast<int>(block_->takeover.spare_wake_fd))); }
  // Runs a rehearsal of another binary (takeover.h); 0: none does.
  pid_t rehearsal_pid() const {
    return static_cast<pid_t>(load_word(block_->takeover.rehearsal_pid));
  }
  // The running child with this pid; nullptr: none.
  abi::ChildEntry* find_entry(pid_t pid) const;
  // nullptr: kMaxChildren are there.
  abi::ChildEntry* free_entry() const;
  // Reports the child's exit to the worker; may be repeated by a keeper that takes over.
  void push_exit(abi::ChildEntry& entry, const ChildExit& exit);

 private:
  Control() = default;
  Status map();
  // The file that a word of abi/operator_words.h names; invalid: none.
  BorrowedFd kept(const uint64_t& word, mode_t type) const;
  static void wake(BorrowedFd fd);
  static void drain(BorrowedFd fd);

  UniqueFd memory_;
  UniqueFd worker_wake_;
  UniqueFd keeper_wake_;
  sys::Mapping mapping_;
  abi::ControlBlock* block_ = nullptr;
};

}  // namespace outlive::machine
