// DOC: how outlived's state is laid out in sessions of the kernel over a kexec, compatible string
// "outlive-carry-v2".
// The ABI may change, if the change includes a new version in the compatible string.
// Compatibility is guaranteed only between the versions listed here: outlive-carry-v2.
//
// Session "outlived"            token 0: the arena's image (abi/kho.h), without what is free at its
//                               end; there may be zeros behind it
//                               token 1: CarryHeader, and `count` times CarryFile
// Session "outlive-files-" + N  the files that cross, of whichever session of ours, in the order of
//                               their preservation: kCarryGroup of them in each, N from 0. A token
//                               is its file's record's id (abi/records.h).
// Session "outlive-" + 16 hex   a direct session's: all in it is its client's; the digits are its
//                               record's id.
//
// The kernel walks a list of all sessions for each one that it makes, reads or gives out, and a
// list of a session's files for each file: with a session of the kernel's for each of ours a
// thousand of them would take longer than all the rest.
//
// Where a service manager keeps descriptors for outlived, each of these sessions is with it under
// the name "outlive-kernel-session", from when it was retrieved until all is adopted (a direct one
// under the name of the file that it becomes, "o.N"). Whoever hands such descriptors over at a
// start, also at the first one of a boot, hands over what came: they are found by their own names.
//
// CarryFile is what the kernel doesn't keep of a file. Both are written after the freeze, into
// memory that was preserved before it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace outlive::abi {

inline constexpr char kCarryCompatible[] = "outlive-carry-v2";
inline constexpr char kCarrySession[] = "outlived";
inline constexpr char kCarryPrefix[] = "outlive-";  // of all but that
inline constexpr char kCarryFilesPrefix[] = "outlive-files-";
inline constexpr uint64_t kCarryGroup = 64;  // files in one of these
inline constexpr char kStoreKernelSession[] = "outlive-kernel-session";
inline constexpr uint64_t kCarryArena = 0;
inline constexpr uint64_t kCarryFiles = 1;

struct [[gnu::packed]] CarryHeader {
  char compatible[32];
  uint64_t count;
  uint64_t image_bytes;  // of the image that are in use; behind them are zeros
  uint64_t written_ns;   // CLOCK_REALTIME, just before reboot(2)
  uint64_t steady_ns;    // outlived's own clock then (Clock::steady_ns), which goes on
};
static_assert(sizeof(CarryHeader) == 64);

struct [[gnu::packed]] CarryFile {
  uint64_t id;     // of its record
  uint32_t seals;  // all of them, as F_GET_SEALS says
  uint32_t mode;   // permission bits
  uint32_t uid;
  uint32_t gid;
  uint32_t flags;  // O_APPEND, O_NONBLOCK
  uint32_t group;  // N of the kernel's session that it is in
};
static_assert(sizeof(CarryFile) == 32 && offsetof(CarryFile, flags) == 24);

}  // namespace outlive::abi
