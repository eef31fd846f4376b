// DOC: what keeper, spare and worker tell each other, compatible string "outlive-control-v1".
// The ABI may change, if the change includes a new version in the compatible string.
// Compatibility is guaranteed only between the versions listed here: outlive-control-v1.
//
// A shared memory file that keeper, spare and worker map; it lives over the keeper's exec. No
// pointer in it; every word has one writer and is read through std::atomic_ref. Fd numbers are
// those of the one shared table.
//
//   ControlBlock   header and words
//   exits[]        ring: keeper -> worker, what it reaped; entry i is exits[i % kExitRing]
//   children[]     who the keeper has launched, until the worker has popped its exit
//   launch         mailbox: worker -> keeper, one launch at a time; `request` is stored last
//   text           the launch specification's bytes
//   takeover       how another binary takes over (abi/takeover.h)
//   operators      words of the operators' side (abi/operator_words.h)
//   takeover_times when the steps of the last takeovers were over
//
// Another binary finds it as it is: it refuses another compatible string. Within a version words
// may only be added at the end; who finds the file shorter than its own block makes it longer, with
// zeros.
//
// The keeper fills an entry of children[], the worker frees it and closes its fds when it pops the
// exit. So an entry is in the ring at most once, and the ring is never full.
#pragma once

#include <cstddef>
#include <cstdint>

#include "abi/operator_words.h"
#include "abi/takeover.h"

namespace outlive::abi {

inline constexpr char kControlCompatible[] = "outlive-control-v1";
inline constexpr size_t kMaxChildren = 512;
inline constexpr size_t kExitRing = kMaxChildren;
inline constexpr size_t kLaunchText = 256 * 1024;
inline constexpr size_t kLaunchFds = 64;

struct ExitEntry {
  int64_t pid;
  int64_t status;  // code << 32 | status, as waitid says (CLD_EXITED, CLD_KILLED, CLD_DUMPED)
  uint64_t child;  // index in children[]
};

struct ChildEntry {
  int64_t pid;  // 0: free. Stored last (keeper; 0: worker)
  int64_t pidfd;
  int64_t gate_fd;     // one byte lets the child exec; close without: it leaves. -1: gone through
                       // (worker)
  uint64_t launch;     // number of the launch
  uint64_t exit_slot;  // 1 + the ring index its exit goes to, 0: it runs. Stored before that
};

// The text: NUL-terminated strings, in this order: program, cwd, argc of argv, envc of the
// environment. The child gets fds[i] as targets[i]; every other fd is closed in it.
// kLaunchOpens: nothing is executed, the child looks up a path for the worker, as `uid` and in
// `cwd`: argv[0] is "open" (`program`, without a slash in the PATH of the environment) or "bind"
// (of the child's fd 4, to the path `program`). It sends its errno as an int32_t, and what it has
// opened, through its fd 3.
inline constexpr int64_t kLaunchOpens = -2;

struct LaunchRequest {
  uint64_t request;  // number; stored last by the worker
  uint64_t done;     // number of the last one carried out; stored last by the keeper
  int64_t result;    // errno, 0: launched
  int64_t pid;
  int64_t pidfd;
  int64_t program_fd;  // execveat() of this fd when >= 0, kLaunchOpens, else of `program`
  uint64_t uid;        // identity of the child; == our euid: not changed
  uint64_t gid;
  uint64_t argc;
  uint64_t envc;
  uint64_t text_size;
  uint64_t fd_count;
  int64_t fds[kLaunchFds];
  int64_t targets[kLaunchFds];
};

struct ControlBlock {
  char compatible[32];
  int64_t keeper_pid;
  int64_t worker_pid;
  int64_t spare_pid;
  // Written by clone(2) itself, before the new process runs: who takes over always knows whom it
  // must see dead first.
  int32_t worker_pidfd;
  int32_t spare_pidfd;
  int32_t closer_pidfd;     // clone(2) in the worker
  int32_t keeper_pidfd;     // opened by the keeper on itself, before it clones anyone
  uint64_t heartbeat_ns;    // worker: CLOCK_MONOTONIC, each turn of its loop
  uint64_t worker_state;    // WorkerState
  uint64_t worker_starts;   // keeper
  uint64_t worker_deaths;   // keeper
  uint64_t keeper_deaths;   // spare: takeovers
  uint64_t ever_served;     // keeper: 1 once a worker has got to kServing
  uint64_t stop_requested;  // SIGTERM, SIGINT, `outlive stop --daemon` so far; worker ends all
  uint64_t reload_count;    // keeper: SIGHUP so far
  uint64_t ended;           // keeper: 1: the end, nobody takes over
  uint64_t soft_nofile;     // soft RLIMIT_NOFILE before ours: what services get
  int64_t worker_wake_fd;   // eventfd
  int64_t keeper_wake_fd;   // eventfd
  int64_t signal_fd;        // keeper: signalfd
  int64_t window_first;     // launcher: first of its reserved fd numbers
  int64_t window_count;
  uint64_t exit_head;            // keeper: entries ever written
  uint64_t exit_tail;            // worker: entries ever read
  uint64_t keeper_heartbeat_ns;  // keeper: CLOCK_MONOTONIC, each turn of its loop
  uint64_t hold;                 // keeper: 1: the worker died too often, everything is held
  uint64_t last_death;           // keeper: DeathKind of the worker before
  // The Varlink call that the worker carries out (its socket keeps it until it is answered), so
  // that one that kills the worker is not carried out for ever. 0: none.
  uint64_t call_in_work;    // worker: digest of the call
  uint64_t suspect_call;    // worker: digest of the call in work at the last death
  uint64_t suspect_deaths;  // worker: deaths in a row that it was in work at
  ExitEntry exits[kExitRing];
  ChildEntry children[kMaxChildren];
  LaunchRequest launch;
  char text[kLaunchText];
  TakeoverBlock takeover;
  // The service manager.
  uint64_t told_keeper;   // worker: pid of the keeper that it was told of (MAINPID)
  uint64_t store_mark;    // worker: every fd of a change up to this one is in its fd store
  uint64_t store_failed;  // worker: 1: the fd store is given up
  uint64_t table_epoch;   // worker: RecordsRoot::fd_epoch of this table, 0: that of the records
  uint64_t children_taken_on;  // worker: entries of children[] that it made itself (launch = 0): of
                               // processes that another outlived launched
  // worker: what its attaches gave back and closed so far
  uint64_t folios_reclaimed;
  uint64_t tracker_corrected;
  uint64_t orphans_closed;
  uint64_t steady_offset_ns;  // Clock::steady_ns less CLOCK_BOOTTIME, of every process of this
                              // table and of every binary that takes over; 0: not said
  OperatorWords operators;
  TakeoverTimes takeover_times[kTakeoverOutcomes];
  uint64_t liveupdate_fd;  // before the first clone: /dev/liveupdate, 0: it isn't open
  uint64_t arrival;        // ArrivalState: keeper, before the first clone, and worker
  uint64_t started_ns;     // before the first clone: CLOCK_MONOTONIC
  // reboot(2) into the next kernel may be on its way (daemon/reboot_hold.h): worker
  uint64_t reboot_until_ns;    // CLOCK_MONOTONIC; 0: it isn't
  uint64_t reboot_connection;  // of whoever calls it
  uint64_t end;                // EndKind: worker
  uint64_t hand_over;          // HandOverState: worker
};
static_assert(sizeof(ExitEntry) == 24);
static_assert(sizeof(ChildEntry) == 40);
static_assert(sizeof(LaunchRequest) == 96 + 16 * kLaunchFds);
static_assert(offsetof(ControlBlock, worker_pidfd) == 56);
static_assert(offsetof(ControlBlock, heartbeat_ns) == 72);
static_assert(offsetof(ControlBlock, exits) == 256);
static_assert(offsetof(ControlBlock, takeover) ==
              256 + 24 * kExitRing + 40 * kMaxChildren + sizeof(LaunchRequest) + kLaunchText);
static_assert(offsetof(ControlBlock, operators) ==
              offsetof(ControlBlock, takeover) + sizeof(TakeoverBlock) + 9 * 8);
static_assert(offsetof(ControlBlock, takeover_times) ==
              offsetof(ControlBlock, operators) + sizeof(OperatorWords));

// Whose doing a worker's death was. kOwn: a crash signal, an exit, a hang; kOutside: SIGKILL or
// SIGTERM that the keeper didn't send, and the death of the keeper.
enum class DeathKind : uint64_t { kNone = 0, kOwn = 1, kOutside = 2 };

// What came through a kexec (daemon/kexec_arrival.h). kPending: the kernel has it, if there is any;
// sessions of it that are open in the table may have been read. kSettled: the arena says where all
// of it is in the table, the kernel isn't told yet. A worker's first act is to carry this on.
enum class ArrivalState : uint64_t { kNone = 0, kPending = 1, kSettled = 2 };

// What an end in order leaves. kKept: the service manager has it all, and decides: a restart goes
// on with it. kForGood: nothing, as an operator has said.
enum class EndKind : uint64_t { kNone = 0, kKept = 1, kForGood = 2 };

// A service manager replaces the kernel (daemon/hand_over.h). kBegun: as reboot(2) on its way, it
// may still be cancelled. kComplete: it can't.
enum class HandOverState : uint64_t { kNone = 0, kBegun = 1, kComplete = 2 };

enum class WorkerState : uint64_t { kNone = 0, kAttaching = 1, kServing = 2, kHolding = 3 };

}  // namespace outlive::abi
