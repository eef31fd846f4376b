// DOC: the operators' words of the control block, compatible string "outlive-operators-v1".
// The ABI may change, if the change includes a new version in the compatible string.
// Compatibility is guaranteed only between the versions listed here: outlive-operators-v1.
//
// They stand in ControlBlock (abi/control_block.h), and so live as long as the table of
// descriptors: over every death of a worker and over a keeper's exec.
//
//   the configuration in force   its text, in a memory file of the table, and how far it is applied
//   what the keeper does with it the words that the worker writes and the keeper follows
//   MetricTotals                 counters that only rise, written by the worker alone
//
// The text is replaced as a whole: a new file is written, then ONE store of `config_file` makes it
// the one in force. Worker and next binary take the configuration from there and never from the
// disk, so what was accepted last is in force after any death, whatever has become of the file
// meanwhile.
//
// A file of the table is named by a word: its number, and above it the low bits of its inode; 0:
// none. An outlived that doesn't know these words closes the files as orphans, and their numbers go
// to others: a word whose inode is another one names nothing (Control::kept).
#pragma once

#include <cstddef>
#include <cstdint>

namespace outlive::abi {

inline constexpr char kOperatorsCompatible[] = "outlive-operators-v1";

// Upper bounds of the buckets, in microseconds; the last bucket has none.
inline constexpr uint64_t kHistogramBoundsUs[] = {
    50, 100, 250, 500, 1'000, 2'500, 5'000, 10'000, 25'000, 50'000, 100'000, 250'000, 1'000'000};
inline constexpr size_t kHistogramBuckets = sizeof kHistogramBoundsUs / sizeof(uint64_t) + 1;

inline constexpr unsigned kKeptNumberBits = 24;  // of a word that names a file: number
inline constexpr unsigned kKeptInodeBits = 40;   // and inode

struct HistogramWords {
  uint64_t buckets[kHistogramBuckets];  // each for itself, not cumulative
  uint64_t sum_ns;
};

// Why an update was cancelled.
enum class CancelReason : uint32_t {
  kVeto = 0,          // a participant said no, or an operator
  kDeath = 1,         // one of the two died, or the new one could not be started
  kDeadline = 2,      // no answer in time
  kDisconnected = 3,  // a participant closed its connection
  kUnreadable = 4,    // the new one can't read the state
  kOther = 5,
  kCount = 6,
};

// One kind of answer: open addressing, `key` 0 is free. `key` is stored after the first count.
struct RequestCount {
  uint64_t key;  // 1 << 32 | request << 16 | errno
  uint64_t count;
};
inline constexpr size_t kRequestCounts = 256;

struct MetricTotals {
  uint64_t connections;          // accepted at liveupdate.sock
  uint64_t connections_refused;  // of these, over a limit
  uint64_t control_calls;
  uint64_t updates_committed;
  uint64_t updates_cancelled[static_cast<size_t>(CancelReason::kCount)];
  uint64_t closer_timeouts;
  uint64_t reloads;
  uint64_t reloads_refused;
  HistogramWords blackout;
  HistogramWords turns;  // of the worker's loop, without its waiting
  RequestCount requests[kRequestCounts];
};

// What the keeper goes by, where the configuration was reloaded.
struct KeeperWords {
  uint64_t number;  // stored last; 0: none yet, as it was started
  uint64_t worker_deaths;
  uint64_t log_level;
  uint64_t rehearsal_timeout_ns;
  uint64_t stop_timeout_ns;
  uint64_t ready_timeout_ns;
  uint64_t probation_ns;
};

struct OperatorWords {
  uint64_t config_file;     // worker (first: main): the text in force
  uint64_t metrics_file;    // worker: listener of the metrics
  uint64_t config_number;   // worker: texts that were ever accepted
  uint64_t config_started;  // worker: of which text the services have been started
  uint64_t reload_done;     // worker: the SIGHUP (reload_count) that was carried out last
  uint64_t reload_tries;    // worker: of the next one
  KeeperWords keeper;       // worker
  MetricTotals totals;
};
static_assert(sizeof(HistogramWords) == 8 * 15);
static_assert(sizeof(KeeperWords) == 8 * 7);
static_assert(sizeof(MetricTotals) ==
              8 * 15 - 8 * 2 + 2 * sizeof(HistogramWords) + 16 * kRequestCounts);
static_assert(sizeof(OperatorWords) == 8 * 6 + sizeof(KeeperWords) + sizeof(MetricTotals));

}  // namespace outlive::abi
