// DOC: outlive's own records, compatible strings "outlive-records-v1" and "outlive-records-v2": the
// one source of truth.
// The ABI may change, if the change includes a new version in the compatible string.
// Compatibility is guaranteed only between the versions listed here: outlive-records-v1,
// outlive-records-v2.
//
// What version 2 has more than 1: RecordsRoot.totals. Whoever knows both writes what it finds, and
// makes a new arena of version 1, so that the binary before can take over; `outlive
// finalize-format` makes it 2, by one store.
//
// Subtree "outlive" is one page, RecordsRoot. It heads one chain of pool pages a kind of record:
//
//   RecordsRoot -- pools[kind] --> PoolPage {next, kind, slot_size} slot slot slot ... --> PoolPage
//
// Every slot begins with SlotHeader {state}: FREE, INTENT, LIVE, DYING. How a change is made:
//
//   1. new slots are filled and marked INTENT: invisible
//   2. every word that changes in a visible slot (also INTENT -> LIVE and LIVE -> FREE) is written
//      into the redo list, as {address, value}
//   3. ONE store: committed = redo_number. This is the commit of everything in the list
//   4. the list is applied. A death in the middle: attach applies it again (idempotent)
//
// So a request, its reply record and all its files become true in one store. At attach: a redo
// list whose number equals `committed` is applied; then INTENT and DYING slots are FREE (zeroed).
// Fds that no LIVE record names are orphans.
//
// A session's direction is not stored. It follows from its service's words: a session whose
// generation is below the service's `outgoing_from` is incoming, else outgoing; so one store of the
// service's words flips all of them (commit, restart, adopt). A session of no service turns
// incoming with kIncomingGeneration, in the store that says that nobody holds it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "abi/liveupdate.h"

namespace outlive::abi {

inline constexpr char kRecordsCompatible[] = "outlive-records-v1";
inline constexpr char kRecordsCompatible2[] = "outlive-records-v2";

enum class SlotState : uint32_t { kFree = 0, kIntent = 1, kLive = 2, kDying = 3 };

enum class PoolKind : uint32_t {
  kSession = 0,
  kFile = 1,
  kConnection = 2,
  kService = 3,
  kUpdate = 4,
  kClientSubtree = 5,
  kFlb = 6,
  kCount = 7,
};

struct RedoEntry {
  uint64_t address;  // arena offset, 8-aligned, inside a pool page or RecordsRoot
  uint64_t value;
};
inline constexpr size_t kMaxRedo = 2048;
inline constexpr size_t kRedoPages = kMaxRedo * sizeof(RedoEntry) / 4096;

struct RecordsTotals {  // since the arena was made
  uint64_t folios_reclaimed;
  uint64_t tracker_corrected;
  uint64_t orphans_closed;
  uint64_t self_updates;
  uint64_t self_rollbacks;
};
static_assert(sizeof(RecordsTotals) == 40);

struct RecordsRoot {
  char compatible[32];
  uint64_t committed;    // number of the last committed change: THE commit word
  uint64_t redo_number;  // number of the change whose list is below
  uint64_t redo_count;
  uint64_t redo_list;  // address of kRedoPages pages of RedoEntry
  uint64_t pools[8];   // address of the first PoolPage, by PoolKind
  uint64_t live_update_number;
  uint64_t boot_id[2];   // boot that pids, fds and monotonic times belong to
  uint64_t fd_epoch;     // table that fd numbers belong to; one higher with each new table
  RecordsTotals totals;  // version 2
  uint64_t reserved[3];
};
static_assert(offsetof(RecordsRoot, totals) == 160);
static_assert(sizeof(RecordsRoot) == 224);

struct PoolPage {
  uint64_t next;
  uint32_t kind;
  uint32_t slot_size;
};
static_assert(sizeof(PoolPage) == 16);
inline constexpr size_t kPoolFirstSlot = 128;  // slots start here, 128-aligned

struct SlotHeader {
  uint64_t state;  // SlotState; a word of its own, so that the redo list can set it
  uint64_t id;     // unique for ever: the change that made it, and its place in that
};

// How far a file can go as it is, or recreated.
enum class SurvivalClass : uint32_t {
  kNone = 0,
  kService = 1,
  kDaemon = 2,
  kHost = 3,
  kKernel = 4
};

inline constexpr uint64_t kSessionLinger = 1u << 0;    // on_close = linger
inline constexpr uint64_t kSessionInternal = 1u << 1;  // outlived's own, of a service (FDSTORE)
inline constexpr uint64_t kSessionEnding = 1u << 2;    // many files go in several changes
// Its files are preserved with a session of the kernel, whose only fd the client has (once
// kSessionHandedOver). One that came through a kexec is a file of this one until then.
inline constexpr uint64_t kSessionDirect = 1u << 3;
inline constexpr uint64_t kSessionHandedOver = 1u << 4;
inline constexpr uint64_t kDirectToken = 0;  // of that file
// SessionSlot.generation of a session of no service: its holder is gone, it is incoming.
inline constexpr uint64_t kIncomingGeneration = uint64_t{1} << 63;

struct SessionSlot {  // 192 bytes
  SlotHeader header;
  char name[kSessionNameLength];
  uint64_t uid;
  uint64_t service;  // ServiceSlot address, 0: of no service
  uint64_t generation;
  uint64_t flags;
  uint64_t created_ns;   // CLOCK_REALTIME
  uint64_t orphaned_ns;  // CLOCK_REALTIME since when nobody holds it, 0: held
  uint64_t reserved[8];
};
static_assert(sizeof(SessionSlot) == 192);

inline constexpr uint64_t kFileRetrieved = 1u << 0;

struct FileSlot {  // 152 bytes
  SlotHeader header;
  uint64_t session;  // SessionSlot address
  uint64_t token;
  int64_t fd;      // in the shared table
  uint64_t data;   // the handler's
  uint64_t order;  // rising in order of preservation
  uint64_t size;   // recorded by the handler's preserve; freeze compares
  uint64_t flags;
  uint64_t failed;  // errno of the first retrieve that failed: sticky
  uint64_t device;  // identity of an exclusive file; 0: not exclusive
  uint64_t inode;
  uint64_t flb;  // FlbSlot address of the global state it is bound to, 0: none
  char compatible[kCompatibleLength];
};
static_assert(sizeof(FileSlot) == 152);

enum class ConnectionRole : uint64_t { kDevice = 1, kSession = 2 };

struct ConnectionSlot {  // 192 bytes
  SlotHeader header;
  uint64_t role;
  int64_t fd;
  uint64_t uid;
  uint64_t gid;
  int64_t pid;
  uint64_t session;      // SessionSlot address, of a session connection
  uint64_t service;      // ServiceSlot address of a participant, or of its session
  uint64_t generation;   // service generation it speaks for
  uint64_t participant;  // 1: takes part in updates
  uint64_t versions;     // state_version << 32 | oldest_state_version
  // The last request: exactly once.
  uint64_t sequence;
  int64_t result;
  int64_t reply_fd;     // an fd that waits to be sent with the reply, -1: none
  uint64_t in_work;     // sequence that was being worked on, for the poison check
  uint64_t deaths;      // workers that died at in_work
  uint64_t peer_inode;  // of the client's end of a session connection: never to be preserved
  uint64_t reserved[6];
};
static_assert(sizeof(ConnectionSlot) == 192);

enum class ServiceState : uint64_t {
  kStopped = 0,
  kStarting = 1,
  kRunning = 2,
  kStopping = 3,
  kFailed = 4,
  kBackoff = 5,
};
inline constexpr uint64_t kServiceNotify = 1u << 0;  // knows nothing of outlive: sd_notify
inline constexpr uint64_t kServiceReady = 1u << 1;

struct ProcessWords {  // a process that was launched; times belong to RecordsRoot.boot_id
  int64_t pid;         // 0: none
  int64_t pidfd;
  uint64_t start_ns;  // CLOCK_MONOTONIC
  uint64_t instance;  // $OUTLIVE_INSTANCE
  int64_t notify_fd;  // our end of its NOTIFY_SOCKET, -1: none
  int64_t binary_fd;  // its executable, held so that a rollback can start it again; -1: none
};
static_assert(sizeof(ProcessWords) == 48);

struct ServiceSlot {  // 416 bytes
  SlotHeader header;
  char name[kSessionNameLength];
  uint64_t uid;
  uint64_t gid;
  uint64_t state;  // ServiceState
  uint64_t flags;
  uint64_t generation;     // of the process that serves: one higher with commit and restart
  uint64_t outgoing_from;  // sessions with a generation below are incoming
  ProcessWords current;
  uint64_t spec;  // address of the launch specification (JSON bytes)
  uint64_t spec_size;
  uint64_t previous_spec;  // of the version before, for `outlive rollback`
  uint64_t previous_spec_size;
  int64_t previous_binary_fd;
  uint64_t updates;    // committed
  uint64_t rollbacks;  // cancelled
  uint64_t restarts;
  uint64_t recent_deaths;  // since it was last up for long
  int64_t exit_status;     // of the last one that ended, as waitid says: code << 32 | status
  uint64_t active_update;  // UpdateSlot address, 0: none
  uint64_t request_id[2];  // id of the caller who last changed it: exactly once for Varlink
  uint64_t reserved[17];
};
static_assert(sizeof(ServiceSlot) == 416);

enum class UpdateStep : uint64_t {
  kPlan = 0,
  kStart = 1,
  kPrepare = 2,
  kFreeze = 3,
  kOffer = 4,
  kCommit = 5,
  kFinish = 6,
  kRetire = 7,
  kDone = 8,
  kCancelled = 9,
};

inline constexpr uint64_t kUpdateRollback = 1u << 0;  // starts the executable that was kept open
// Of scope host: outlived is to be replaced before the service is started anew.
inline constexpr uint64_t kUpdateOutlived = 1u << 1;
// Of scope host, above the flags: the live update number that its commit makes. RecordsRoot's
// becoming this one is the commit of all that name it; what follows from it is carried on at
// attach.
inline constexpr unsigned kUpdateNumberShift = 8;
// Past commit, and what must be true at its finish is not: it stays in state `updated`.
inline constexpr uint64_t kUpdateFinishFailed = 1u << 2;

struct UpdateSlot {  // 432 bytes
  SlotHeader header;
  uint64_t service;  // ServiceSlot address
  uint64_t scope;    // luo::Scope
  uint64_t step;     // UpdateStep: how far it came
  uint64_t state;    // luo::State of its scope
  uint64_t from_generation;
  ProcessWords successor;
  ProcessWords old;  // after commit: who is to retire
  uint64_t spec;     // launch specification of the successor
  uint64_t spec_size;
  uint64_t request_id[2];
  uint64_t attempts;
  uint64_t timeline;     // address of a page (abi/timeline.h)
  uint64_t started_ns;   // CLOCK_REALTIME
  uint64_t blackout_ns;  // once committed
  int64_t result;        // errno of a cancel
  uint64_t flags;
  char reason[128];   // of a cancel
  uint64_t ready_ns;  // time-outs of its own, 0: the configured ones
  uint64_t freeze_ns;
  uint64_t reserved[7];
};
static_assert(sizeof(UpdateSlot) == 432);

struct ClientSubtreeSlot {  // 128 bytes
  SlotHeader header;
  uint64_t uid;
  char name[kSessionNameLength];
  uint64_t address;
  uint64_t size;
  uint64_t reserved[3];
};
static_assert(sizeof(ClientSubtreeSlot) == 128);

inline constexpr uint64_t kFlbIncoming = 1u << 0;  // of the life before: new files make a new one

struct FlbSlot {  // 96 bytes; how many files hold it is derived
  SlotHeader header;
  char compatible[kCompatibleLength];
  uint64_t data;
  uint64_t flags;
  uint64_t failed;  // errno of a retrieve that failed: sticky
  uint64_t reserved;
};
static_assert(sizeof(FlbSlot) == 96);

constexpr size_t slot_size(PoolKind kind) {
  switch (kind) {
    case PoolKind::kSession:
      return sizeof(SessionSlot);
    case PoolKind::kFile:
      return sizeof(FileSlot);
    case PoolKind::kConnection:
      return sizeof(ConnectionSlot);
    case PoolKind::kService:
      return sizeof(ServiceSlot);
    case PoolKind::kUpdate:
      return sizeof(UpdateSlot);
    case PoolKind::kClientSubtree:
      return sizeof(ClientSubtreeSlot);
    case PoolKind::kFlb:
      return sizeof(FlbSlot);
    case PoolKind::kCount:
      break;
  }
  return 0;
}

}  // namespace outlive::abi
