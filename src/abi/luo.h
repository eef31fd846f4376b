// DOC: the kernel's LUO format, compatible strings "luo-v1", "luo-session-v1", "luo-flb-v1".
// The ABI may change, if the change includes a new version in the compatible string.
// Compatibility is guaranteed only between the versions listed here: luo-v1 (written and read).
// The dump reader knows luo-v1 to luo-v5.
//
// Subtree "LUO": / { compatible = "luo-v1"; liveupdate-number = <u64>;
//   luo-session { compatible = "luo-session-v1"; luo-session-header = <u64 first block>; };
//   luo-flb     { compatible = "luo-flb-v1";     luo-flb-header     = <u64 first block>; }; };
// The headers point to chains of blocks (abi/kho.h) of the packed entries below.
//
// These are *derived*: written from the records (abi/records.h) at freeze and for dumps. The
// records are the truth.
#pragma once

#include <cstddef>
#include <cstdint>

#include "abi/liveupdate.h"

namespace outlive::abi {

inline constexpr char kLuoCompatible[] = "luo-v1";
inline constexpr char kLuoSessionCompatible[] = "luo-session-v1";
inline constexpr char kLuoFlbCompatible[] = "luo-flb-v1";
inline constexpr char kPropLiveUpdateNumber[] = "liveupdate-number";
inline constexpr char kNodeLuoSession[] = "luo-session";
inline constexpr char kNodeLuoFlb[] = "luo-flb";
inline constexpr char kPropLuoSessionHeader[] = "luo-session-header";
inline constexpr char kPropLuoFlbHeader[] = "luo-flb-header";

struct [[gnu::packed]] LuoFile {
  char compatible[kCompatibleLength];
  uint64_t data;
  uint64_t token;
};
static_assert(sizeof(LuoFile) == 64);

struct [[gnu::packed]] LuoFileSet {
  uint64_t files;  // address of the first block of LuoFile
  uint64_t count;
};
static_assert(sizeof(LuoFileSet) == 16);

struct [[gnu::packed]] LuoSession {
  char name[kSessionNameLength];
  LuoFileSet file_set;
};
static_assert(sizeof(LuoSession) == 80);

struct [[gnu::packed]] LuoFlb {
  char name[kCompatibleLength];
  uint64_t data;
  uint64_t count;
};
static_assert(sizeof(LuoFlb) == 64);

// luo-v5: the subtree is no FDT but this.
struct [[gnu::packed]] LuoV5 {
  char compatible[8];
  uint64_t liveupdate_num;
  uint64_t sessions_pa;
  uint64_t flbs_pa;
};
static_assert(sizeof(LuoV5) == 32);

}  // namespace outlive::abi
