// DOC: the socket between a program's supervisor and the holder of its emulated /dev/liveupdate
// (src/compat). Compatible string "outlive-compat-v1".
//
// SOCK_SEQPACKET. A request is one CompatAsk, with at most one descriptor (the file to preserve);
// the answer is one CompatAnswer, with at most one descriptor (the program's end of a new device or
// session, or a retrieved file). One request at a time on a connection.
//
//   request       asks                                        answers
//   kLook         cookie (0: the device itself)               kind, kernel, number
//   kOpen         -                                           descriptor; EBUSY EIO ENOENT
//   kExecute      cookie, command, body: the ioctl's          body: the ioctl's structure;
//                 structure; file_error: no descriptor        descriptor
//   kKexecLoad    command: 1 load, 0 unload                   -
//   kKexec        -                                           number; EINVAL: nothing loaded
//   kReboot       -                                           number
//   kFaults       body: the text                              EINVAL
//   kStop         -                                           then the holder leaves
//
// A cookie is SO_COOKIE of the socket that stands in for a device or session in the program.
//
// The ABI may change, if the change includes a new version in the compatible string.
// Compatibility is guaranteed only between the versions listed here: outlive-compat-v1.
#pragma once

#include <cstddef>
#include <cstdint>

namespace outlive::abi {

inline constexpr char kCompatCompatible[] = "outlive-compat-v1";
inline constexpr uint32_t kCompatMagic = 0x6f63'7631;  // "ocv1"
inline constexpr size_t kCompatBody = 240;

enum class CompatRequest : uint32_t {
  kLook = 1,
  kOpen = 2,
  kExecute = 3,
  kKexecLoad = 4,
  kKexec = 5,
  kReboot = 6,
  kFaults = 7,
  kStop = 8,
};

// What a descriptor of a program is.
enum class CompatKind : uint32_t {
  kNone = 0,  // not ours
  kDevice = 1,
  kOutgoing = 2,
  kIncoming = 3,
  kDead = 4,    // of before a reboot
  kAbsent = 5,  // kLook 0: there is no device (a fault asked for)
};

struct CompatAsk {
  uint32_t magic;
  uint32_t request;
  uint64_t cookie;
  uint32_t command;     // the ioctl's low byte
  uint32_t file_error;  // errno: the file to preserve could not be taken
  uint32_t size;        // of body
  uint32_t reserved;
  uint8_t body[kCompatBody];
};
static_assert(sizeof(CompatAsk) == 32 + kCompatBody && offsetof(CompatAsk, body) == 32);

struct CompatAnswer {
  uint32_t magic;
  uint32_t error;   // errno, 0: done
  uint32_t kind;    // CompatKind
  uint32_t kernel;  // 619, 703
  uint64_t number;  // live update number
  uint32_t size;    // of body
  uint32_t reserved;
  uint8_t body[kCompatBody];  // of an error: its text
};
static_assert(sizeof(CompatAnswer) == 32 + kCompatBody && offsetof(CompatAnswer, body) == 32);

}  // namespace outlive::abi
