// DOC: how outlived's state is laid out in sessions of the kernel over a kexec, compatible string
// "outlive-carry-v1".
// The ABI may change, if the change includes a new version in the compatible string.
// Compatibility is guaranteed only between the versions listed here: outlive-carry-v1.
//
// Session "outlived"            token 0: the arena's image (abi/kho.h), without what is free at its
//                               end; there may be zeros behind it
//                               token 1: CarryHeader, and `count` times CarryFile
// Session "outlive-" + 16 hex   one for each session that has files which cross; the digits are its
//                               record's id (abi/records.h). Tokens are the files' own.
//                               A direct session's is so named, too, and all in it is its client's.
//
// CarryFile is what the kernel doesn't keep of a file. Both are written after the freeze, into
// memory that was preserved before it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace outlive::abi {

inline constexpr char kCarryCompatible[] = "outlive-carry-v1";
inline constexpr char kCarrySession[] = "outlived";
inline constexpr char kCarryPrefix[] = "outlive-";
inline constexpr uint64_t kCarryArena = 0;
inline constexpr uint64_t kCarryFiles = 1;

struct [[gnu::packed]] CarryHeader {
  char compatible[32];
  uint64_t count;
  uint64_t written_ns;  // CLOCK_REALTIME, just before reboot(2)
  uint64_t steady_ns;   // outlived's own clock then (Clock::steady_ns), which goes on
};
static_assert(sizeof(CarryHeader) == 56);

struct [[gnu::packed]] CarryFile {
  uint64_t id;     // of its record
  uint32_t seals;  // all of them, as F_GET_SEALS says
  uint32_t mode;   // permission bits
  uint32_t uid;
  uint32_t gid;
  uint32_t flags;  // O_APPEND, O_NONBLOCK
  uint32_t reserved;
};
static_assert(sizeof(CarryFile) == 32 && offsetof(CarryFile, flags) == 24);

}  // namespace outlive::abi
