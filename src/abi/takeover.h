// DOC: how outlived hands itself over to another binary, compatible string "outlive-takeover-v1".
// The ABI may change, if the change includes a new version in the compatible string.
// Compatibility is guaranteed only between the versions listed here: outlive-takeover-v1,
// outlive-rehearsal-v1.
//
// The last part of the control block (abi/control_block.h). The binary that was executed finds the
// block's descriptor in $OUTLIVE_TAKEOVER (a number), and everything else in here.
//
//   worker          keeper, old binary        old spare           keeper and worker, new binary
//     | asked ------> |                         |                             |
//     |               | rehearsing: --rehearse  |                             |
//     | <-- stopping  |                         |                             |
//     | stopped, ends | execd ----- exec -------|---------------------------> |
//     x               x (same pid)              | watches                     | attaches
//                                               |          committed <--------| ONE of these two
//                                               | reverted                    | stores wins
//
// `state` is number << 8 | TakeoverState; every step is a compare-and-swap of it, so whoever comes
// late knows it. Until `committed` the new binary changes no descriptor's number in the block, for
// the old spare, with the table as it was, goes by them.
//
// Rehearsal: the new binary is executed with `--rehearse IMAGE,RESULT,NONCE` (descriptors of a copy
// of the arena and of a pipe), and writes one line into the pipe, "outlive-rehearsal-v1", and
// behind it what it wants to find in `warm` after the exec, for nobody but itself:
//   outlive-rehearsal-v1 NONCE ok VERSION control=NAME takeover=NAME records=NAME,NAME...
//   outlive-rehearsal-v1 NONCE refused REASON
#pragma once

#include <cstddef>
#include <cstdint>

namespace outlive::abi {

inline constexpr char kTakeoverCompatible[] = "outlive-takeover-v1";
inline constexpr char kTakeoverVariable[] = "OUTLIVE_TAKEOVER";
// A rehearsal's environment: fd of the text of the configuration in force.
inline constexpr char kRehearsalConfigVariable[] = "OUTLIVE_REHEARSAL_CONFIG";
inline constexpr char kRehearsalCompatible[] = "outlive-rehearsal-v1";
inline constexpr size_t kRehearsalLine = 1024;  // at most
inline constexpr size_t kTakeoverWarm = 32768;  // at most
inline constexpr size_t kTakeoverOutcomes = 16;

enum class TakeoverState : uint64_t {
  kIdle = 0,
  kAsked = 1,       // worker
  kRehearsing = 2,  // keeper
  kStopping = 3,    // keeper: the worker is to leave at the end of a turn of its loop
  kExecd = 4,       // keeper, just before it executes the other binary
  kCommitted = 5,   // the new worker: attached, it serves from here on
  kStopped = 7,     // worker: it has left its loop, and ends
  kReverted = 6,    // old spare: the new one is dead or late. New spare: its keeper died too early
};

// kRehearsed: of a request that asked for no more.
enum class TakeoverResult : uint64_t {
  kUpdated = 1,
  kRolledBack = 2,
  kRefused = 3,
  kRehearsed = 4
};

struct TakeoverOutcome {  // 288 bytes
  uint64_t number;        // stored last; 0: none
  uint64_t request_id[2];
  uint64_t result;  // TakeoverResult
  uint64_t error;   // errno of a refusal
  uint64_t pause_ns;
  uint64_t total_ns;
  uint64_t reserved;
  char from[32];  // versions
  char to[32];
  char reason[160];
};
static_assert(sizeof(TakeoverOutcome) == 288);

// When the steps of a takeover were over, for people (`outlive timeline`): of number n in
// ControlBlock.takeover_times[n % kTakeoverOutcomes]. 0: it has not come to that, or a binary that
// knows of no such word did it. Each word is stored once.
struct TakeoverTimes {       // 128 bytes
  uint64_t number;           // worker: stored last; 0: none
  uint64_t started_ns;       // worker: CLOCK_REALTIME
  uint64_t asked_ns;         // worker: this one and all that follow CLOCK_MONOTONIC
  uint64_t rehearsed_ns;     // keeper: the rehearsal said ok
  uint64_t stopped_ns;       // keeper: when the old worker answered for the last time
  uint64_t executed_ns;      // keeper: just before the exec
  uint64_t entered_ns;       // new binary: its main has begun
  uint64_t committed_ns;     // new worker: attached, and the point of no return
  uint64_t serving_ns;       // the first worker that answers again, of whichever binary
  uint64_t ended_ns;         // keeper, or old spare: the outcome is written down
  uint64_t back_ns;          // keeper, on probation: going back to the binary before began,
  uint64_t back_serving_ns;  // and it answers
  uint64_t reserved[4];
};
static_assert(sizeof(TakeoverTimes) == 128);

inline constexpr uint64_t kTakeoverBack = 1u << 0;  // to the binary before, without a rehearsal
// Only the rehearsal: what is to be executed later shall be known to be good before others depend
// on it. asked -> rehearsing -> idle.
inline constexpr uint64_t kTakeoverRehearse = 1u << 1;

struct TakeoverBlock {
  char compatible[32];
  uint64_t state;  // number << 8 | TakeoverState
  // worker: the request; stored before `state`
  uint64_t request_id[2];
  uint64_t flags;
  uint64_t asked_ns;  // all times CLOCK_MONOTONIC
  int64_t binary_fd;  // the new one; worker opens and closes it
  int64_t image_fd;   // copy of the arena for the rehearsal; likewise
  // keeper
  int64_t previous_fd;   // the binary that ran before; kept until probation is over
  int64_t rehearsal_fd;  // read end of the rehearsal's pipe
  int64_t rehearsal_pidfd;
  int64_t rehearsal_pid;    // 0: none
  int64_t life_read_fd;     // hung up once everyone of the new table is dead: its write end is
  int64_t life_write_fd;    // open in the new table, and the old spare closes its own
  int64_t spare_wake_fd;    // keeper: eventfd of the spare that it cloned last
  uint64_t deadline_ns;     // of rehearsal, stop and readiness
  uint64_t stopped_ns;      // worker: when the old one answered for the last time
  uint64_t serving_ns;      // worker: when the new one began to
  uint64_t spare_ready;     // number: the new table has a spare
  uint64_t worker_gone;     // number: the old worker has been seen dead, a new one may be made
  uint64_t committed;       // the last number that was committed and settled
  uint64_t updates_before;  // of `updates`, so that settling may be repeated
  uint64_t updates;
  uint64_t rollbacks;
  uint64_t probation_until_ns;
  uint64_t probation_deaths;
  uint64_t probation_of;  // number of the update that is on probation
  // What the keeper holds of the daemon; descriptors that aren't in the control block.
  int64_t arena_fd;
  int64_t device_fd;
  int64_t control_fd;
  int64_t lock_fd;
  // The guard: a binary that has failed, and how often.
  uint64_t failed_device;
  uint64_t failed_inode;
  uint64_t failed_changed_ns;  // mtime
  uint64_t failed_tries;
  uint64_t reserved[15];
  char from[32];  // versions
  char to[32];
  char reason[160];  // of a failure, by whoever knows it first
  char runtime_dir[128];
  char state_dir[4096];
  TakeoverOutcome outcomes[kTakeoverOutcomes];  // of number n: outcomes[n % kTakeoverOutcomes]
  uint64_t warm_size;                           // keeper
  std::byte warm[kTakeoverWarm];
};
static_assert(offsetof(TakeoverBlock, arena_fd) == 240);
static_assert(offsetof(TakeoverBlock, from) == 424);
static_assert(offsetof(TakeoverBlock, outcomes) == 4872);
static_assert(sizeof(TakeoverBlock) ==
              4880 + kTakeoverOutcomes * sizeof(TakeoverOutcome) + kTakeoverWarm);

}  // namespace outlive::abi
