// DOC: the kernel's ioctl interface of /dev/liveupdate (uAPI of Linux 6.19 to 7.3).
//
// ioctl type 0xBA, all _IO (no size in the number); every structure starts with `u32 size`, the
// size the caller knows. A request reads min(user, known) bytes; bytes beyond the known size must
// be zero (E2BIG). A reply writes min(user, known).
//
//   object   nr    request           structure
//   device   0x00  CREATE_SESSION    u32 size | s32 fd (out) | u8 name[64]        72 bytes
//   device   0x01  RETRIEVE_SESSION  u32 size | s32 fd (out) | u8 name[64]        72
//   session  0x40  PRESERVE_FD       u32 size | s32 fd | u64 token                16
//   session  0x41  RETRIEVE_FD       u32 size | s32 fd (out) | u64 token          16
//   session  0x42  FINISH            u32 size | u32 reserved                       8
//   session  0x43  GET_NAME (7.x)    u32 size | u32 reserved | u8 name[64] (out)  72
//
// These are the kernel's facts, not ours to change. The socket protocol (abi/wire.h) carries the
// very same structures; there the fd fields are ignored and fds travel in SCM_RIGHTS.
#pragma once

#include <cstddef>
#include <cstdint>

namespace outlive::abi {

inline constexpr uint8_t kLiveUpdateIoctlType = 0xBA;
inline constexpr size_t kSessionNameLength = 64;  // with the NUL
inline constexpr size_t kCompatibleLength = 48;   // with the NUL

inline constexpr uint16_t kIoctlCreateSession = 0x00;
inline constexpr uint16_t kIoctlRetrieveSession = 0x01;
inline constexpr uint16_t kIoctlPreserveFd = 0x40;
inline constexpr uint16_t kIoctlRetrieveFd = 0x41;
inline constexpr uint16_t kIoctlFinish = 0x42;
inline constexpr uint16_t kIoctlGetName = 0x43;

struct [[gnu::packed]] SessionRequest {  // CREATE_SESSION, RETRIEVE_SESSION
  uint32_t size;
  int32_t fd;
  uint8_t name[kSessionNameLength];
};
static_assert(sizeof(SessionRequest) == 72 && offsetof(SessionRequest, name) == 8);

struct [[gnu::packed]] FdRequest {  // PRESERVE_FD, RETRIEVE_FD
  uint32_t size;
  int32_t fd;
  uint64_t token;
};
static_assert(sizeof(FdRequest) == 16 && offsetof(FdRequest, token) == 8);

struct [[gnu::packed]] FinishRequest {
  uint32_t size;
  uint32_t reserved;
};
static_assert(sizeof(FinishRequest) == 8);

struct [[gnu::packed]] GetNameRequest {
  uint32_t size;
  uint32_t reserved;
  uint8_t name[kSessionNameLength];
};
static_assert(sizeof(GetNameRequest) == 72 && offsetof(GetNameRequest, name) == 8);

}  // namespace outlive::abi
