// DOC: the socket protocol, compatible string "outlive-wire-v1".
// The ABI may change, if the change includes a new version in the compatible string.
// Compatibility is guaranteed only between the versions listed here: v1.
//
// Transport: Unix SOCK_SEQPACKET, $RUNTIME/outlive/liveupdate.sock. Connecting is opening the
// device: that connection is a *device connection*. CREATE_SESSION and RETRIEVE_SESSION hand out a
// connected socket of their own, the *session connection*. One message is one packet:
//
//   0      4        6        8      12       16          24
//   | magic| version| request| flags| result | sequence  | body ... (at most kMaxBody bytes)
//
// and its fds in SCM_RIGHTS (at most kMaxFds); fd numbers never travel in bytes. Little endian.
//
//   client                               outlived
//     | request, sequence = last + 1  -->  |   sequence not last+1 and not last: EPROTO
//     | <-- reply: same request and sequence, kFlagReply, result = 0 or -errno
//     | <-- event: request = kEvent, sequence = 0, kFlagEvent; idempotent, may come twice
//
// Sequences start at 1, one counter a connection, one request in flight. A client drops replies
// whose sequence is not the one it waits for (a reply may come twice after outlived's worker died).
// Who got a session fd from someone else doesn't know its last sequence: GET_NAME with kAskSequence
// is answered EPROTO, the reply's sequence is the last one, and the connection stays as it is.
// Every body starts with `u32 size` and follows the kernel's size rule (abi/liveupdate.h): smaller
// than the minimum: EINVAL; larger with unknown bytes not zero: E2BIG. A reply with an error has
// the body ErrorBody (text). A message with wrong magic or version: EPROTO, connection closed.
//
//   device   0x00 CREATE_SESSION SessionRequest (flags: kFlagLinger, kFlagDirect)
//                                                                   -> SessionRequest + 1 fd
//            0x01 RETRIEVE_SESSION SessionRequest                    -> SessionRequest + 1 fd
//            0x80 LIST           ListRequest     -> ListReply, ListEntry[count]
//            0x81 STATUS         StatusRequest   -> StatusReply
//            0x82 ADD_SUBTREE    SubtreeRequest, bytes[length]    (this uid's note to the next one)
//            0x83 REMOVE_SUBTREE SubtreeRequest
//            0x84 RETRIEVE_SUBTREE SubtreeRequest -> SubtreeRequest, bytes[length]
//            0x85 PARTICIPATE    ParticipateRequest -> ParticipateReply
//            0x86 READY          StepRequest     answers an event, or says ready-to-adopt
//            0x87 VETO           StepRequest with a reason
//            0x88 END_SESSION    SessionRequest  (owner or root: ends it whoever holds it)
//            0x89 PREVIEW_LIST   PreviewRequest -> ListReply, PreviewEntry[count]   (a successor,
//                                 until committed: what the old one's session holds now)
//            0x8a FD_DATA_QUERY  DataQueryRequest -> DataQueryReply, DataQueryEntry[] (root only)
//            0x8b ADOPT_ALL      SizeOnly: every incoming session of the service turns outgoing
//            0x8c FINISH_ALL     SizeOnly: every incoming session of the service is finished
//            0x8d PREVIEW_MANY   PreviewRequest, u64 tokens[count] -> PreviewRequest + count fds
//                                 (a successor, until committed: to look at while the old one
//                                 serves. It touches none of them, maps memory read-only, and may
//                                 put them into an epoll that it doesn't wait on)
//   session  0x40 PRESERVE_FD    FdRequest + 1 fd
//            0x41 RETRIEVE_FD    FdRequest      -> FdRequest + 1 fd
//            0x42 FINISH         FinishRequest
//            0x43 GET_NAME       GetNameRequest -> GetNameRequest
//            0x90 UNPRESERVE_FD  FdRequest
//            0x91 PRESERVE_MANY  ManyRequest, u64 tokens[count] + count fds; all or none
//            0x92 RETRIEVE_MANY  ManyRequest, u64 tokens[count] -> ManyRequest + count fds
//            0x93 ADOPT          SizeOnly: this incoming session becomes outgoing
//            0x94 LIST_FILES     ListRequest -> ListReply, FileEntry[count] in recorded order
//            0x95 UNPRESERVE_MANY ManyRequest, u64 tokens[count]; all or none
//            0x96 KERNEL_SESSION SizeOnly -> SizeOnly + 1 fd (a direct session, once: the session
//                                 of the kernel's /dev/liveupdate that belongs to it)
//   event    0xf0 EVENT          EventBody
#pragma once

#include <cstddef>
#include <cstdint>

#include "abi/liveupdate.h"

namespace outlive::abi {

inline constexpr char kWireCompatible[] = "outlive-wire-v1";
inline constexpr uint32_t kWireMagic = 0x314c564f;  // "OVL1"
inline constexpr uint16_t kWireVersion = 1;
inline constexpr uint64_t kAskSequence = UINT64_MAX;
inline constexpr size_t kMaxFds = 253;  // the kernel's SCM_MAX_FD
inline constexpr size_t kMaxBody = 32768;
inline constexpr size_t kMaxSubtreeBytes = 16384;

enum class Request : uint16_t {
  kCreateSession = kIoctlCreateSession,
  kRetrieveSession = kIoctlRetrieveSession,
  kPreserveFd = kIoctlPreserveFd,
  kRetrieveFd = kIoctlRetrieveFd,
  kFinish = kIoctlFinish,
  kGetName = kIoctlGetName,
  kList = 0x80,
  kStatus = 0x81,
  kAddSubtree = 0x82,
  kRemoveSubtree = 0x83,
  kRetrieveSubtree = 0x84,
  kParticipate = 0x85,
  kReady = 0x86,
  kVeto = 0x87,
  kEndSession = 0x88,
  kPreviewList = 0x89,
  kFdDataQuery = 0x8a,
  kAdoptAll = 0x8b,
  kFinishAll = 0x8c,
  kPreviewMany = 0x8d,
  kUnpreserveFd = 0x90,
  kPreserveMany = 0x91,
  kRetrieveMany = 0x92,
  kAdopt = 0x93,
  kListFiles = 0x94,
  kUnpreserveMany = 0x95,
  kKernelSession = 0x96,
  kEvent = 0xf0,
};

inline constexpr uint32_t kFlagReply = 1u << 0;
inline constexpr uint32_t kFlagEvent = 1u << 1;
inline constexpr uint32_t kFlagLinger = 1u << 2;  // CREATE_SESSION: on_close = linger
inline constexpr uint32_t kFlagDirect = 1u << 3;  // CREATE_SESSION: its files are the kernel's
// EVENT: of an update of the kernel, which preserves the files itself. From before `prepare` until
// `cancel` their size can't change: EPERM.
inline constexpr uint32_t kFlagKernel = 1u << 4;

struct [[gnu::packed]] MessageHeader {
  uint32_t magic;
  uint16_t version;
  uint16_t request;
  uint32_t flags;
  int32_t result;  // of a reply: 0 or -errno
  uint64_t sequence;
};
static_assert(sizeof(MessageHeader) == 24 && offsetof(MessageHeader, sequence) == 16);

struct [[gnu::packed]] SizeOnly {
  uint32_t size;
  uint32_t reserved;
};
static_assert(sizeof(SizeOnly) == 8);

struct [[gnu::packed]] ErrorBody {  // of a reply whose result is not 0
  uint32_t size;
  char text[252];  // NUL-terminated: what failed and the remedy
};
static_assert(sizeof(ErrorBody) == 256);

struct [[gnu::packed]] ManyRequest {
  uint32_t size;   // of this structure, the tokens follow
  uint32_t count;  // 1 to kMaxFds
};
static_assert(sizeof(ManyRequest) == 8);

inline constexpr uint32_t kDirectionOutgoing = 0;
inline constexpr uint32_t kDirectionIncoming = 1;

struct [[gnu::packed]] ListRequest {
  uint32_t size;
  uint32_t reserved;
  uint64_t after;  // 0: from the start; else ListReply.next of the answer before
};
static_assert(sizeof(ListRequest) == 16);

struct [[gnu::packed]] ListReply {
  uint32_t size;
  uint32_t count;
  uint64_t next;  // 0: that was all
};
static_assert(sizeof(ListReply) == 16);

struct [[gnu::packed]] ListEntry {
  uint64_t id;
  uint32_t uid;
  uint32_t direction;
  uint32_t claimed;  // somebody holds its fd
  uint32_t files;
  char name[kSessionNameLength];
  char service[kSessionNameLength];  // empty: of no service
};
static_assert(sizeof(ListEntry) == 152);

struct [[gnu::packed]] FileEntry {
  uint64_t token;
  uint64_t order;  // rising in order of preservation
  uint32_t retrieved;
  uint32_t survival;  // abi::SurvivalClass
  char compatible[kCompatibleLength];
};
static_assert(sizeof(FileEntry) == 72);

struct [[gnu::packed]] StatusRequest {
  uint32_t size;
  uint32_t reserved;
};
static_assert(sizeof(StatusRequest) == 8);

struct [[gnu::packed]] StatusReply {
  uint32_t size;
  uint32_t state;  // luo::State of the host scope
  uint64_t live_update_number;
  uint64_t sessions;  // visible to the caller
  uint64_t files;
  uint32_t in_progress;
  uint32_t enabled;  // [liveupdate] enabled
};
static_assert(sizeof(StatusReply) == 40);

struct [[gnu::packed]] SubtreeRequest {
  uint32_t size;
  uint32_t length;  // bytes that follow; 0 in REMOVE and RETRIEVE requests
  uint8_t name[kSessionNameLength];
};
static_assert(sizeof(SubtreeRequest) == 72);

// Who a participant is to its service.
enum class Role : uint32_t {
  kNone = 0,       // not started by outlived: it has sessions, and takes part in no update
  kFresh = 1,      // first start: nothing to adopt
  kRestarted = 2,  // the one before died: its sessions are incoming and can be retrieved now
  kSuccessor = 3,  // an update: wait for kAdopt
};

struct [[gnu::packed]] ParticipateRequest {
  uint32_t size;
  uint32_t state_version;         // version of its own state that it writes; 0: not versioned
  uint32_t oldest_state_version;  // oldest that it can read
  uint32_t reserved;
  uint64_t instance;  // $OUTLIVE_INSTANCE; 0: known by its pid
};
static_assert(sizeof(ParticipateRequest) == 24);

struct [[gnu::packed]] ParticipateReply {
  uint32_t size;
  uint32_t role;
  uint64_t update;  // correlation id of the update that it is the successor of, or 0
  char service[kSessionNameLength];
};
static_assert(sizeof(ParticipateReply) == 80);

// Steps that an event asks for, or that READY and VETO answer.
enum class Step : uint32_t {
  kStart = 1,      // READY only: the successor is ready to adopt, a fresh one serves
  kPrepare = 2,    // to the old one: check, warn, flush while serving
  kFreeze = 3,     // to the old one: stop taking work, note what is half done
  kCancel = 4,     // to the old one: serve again; no answer
  kAdopt = 5,      // to the successor: retrieve, validate, don't write; READY when done
  kCommitted = 6,  // to the successor: it is yours, serve; no answer
  kRetire = 7,     // to the old one: leave; no answer
  kFinish = 8,     // READY only: restored and serving, the update is over
  kPreview = 9,    // to a successor that has asked for previews: the old one has answered prepare
};

struct [[gnu::packed]] StepRequest {  // READY, VETO
  uint32_t size;
  uint32_t step;
  uint64_t update;   // 0 with kStart of a fresh or restarted one
  char reason[128];  // of a veto, NUL-terminated
};
static_assert(sizeof(StepRequest) == 144);

struct [[gnu::packed]] EventBody {
  uint32_t size;
  uint32_t step;
  uint64_t update;       // correlation id
  uint64_t deadline_ns;  // CLOCK_MONOTONIC; 0: none
  char reason[128];      // of a cancel
};
static_assert(sizeof(EventBody) == 152);

struct [[gnu::packed]] PreviewRequest {
  uint32_t size;
  uint32_t count;  // of tokens that follow; 0 in PREVIEW_LIST
  uint64_t after;  // PREVIEW_LIST: 0, or ListReply.next of the answer before
  uint8_t name[kSessionNameLength];
};
static_assert(sizeof(PreviewRequest) == 80);

struct [[gnu::packed]] PreviewEntry {
  uint64_t token;
  uint64_t order;  // rising, and never used again: it names this preservation of this file
};
static_assert(sizeof(PreviewEntry) == 16);

struct [[gnu::packed]] DataQueryRequest {
  uint32_t size;
  uint32_t count;  // room for so many entries
  char compatible[kCompatibleLength];
};
static_assert(sizeof(DataQueryRequest) == 56);

struct [[gnu::packed]] DataQueryReply {
  uint32_t size;
  uint32_t count;  // of entries that follow
  uint64_t total;
};
static_assert(sizeof(DataQueryReply) == 16);

struct [[gnu::packed]] DataQueryEntry {
  uint64_t session;
  uint64_t token;
  uint64_t data;
};
static_assert(sizeof(DataQueryEntry) == 24);

}  // namespace outlive::abi
