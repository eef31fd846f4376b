// DOC: the versions of KHO and LUO state that kernels show in debugfs (kho/out/fdt,
// kho/out/sub_fdts/*, kho/in/...), compatible strings "kho-v1" to "kho-v4", "luo-v1" to "luo-v5",
// kexec-metadata version 1.
// The ABI may change, if the change includes a new version in the compatible string.
// Compatibility is guaranteed only between the versions listed here; they are read, never written.
//
// Root FDT, / { compatible; preserved-memory-map = <u64>; NAME { ... }; }, where NAME has
//   kho-v1          fdt = <u64>
//   kho-v2          preserved-data = <u64>
//   kho-v3, kho-v4  preserved-data = <u64>; blob-size = <u64>
// (from v2 on the map is a radix tree; v4 differs from v3 in what the blobs may use: kho blocks)
//
// Subtree "LUO"
//   luo-v1          FDT, abi/luo.h
//   luo-v2          FDT, / { compatible; luo-abi-header = <u64 LuoV2>; }
//   luo-v3 to v5    no FDT but LuoV5 (abi/luo.h); the versions differ in what the addresses lead to
//
// Subtree "kexec-metadata"
//   1               KexecMetadata: of the kernel that wrote it
//
// scratch_phys and scratch_len are text: a number a line ("0x3a800000"), line by line of one
// region.
#pragma once

#include <cstddef>
#include <cstdint>

namespace outlive::abi {

inline constexpr char kPropSubFdt[] = "fdt";
inline constexpr char kPropLuoAbiHeader[] = "luo-abi-header";

struct KernelKhoVersion {
  const char* compatible;
  const char* data_property;
  bool has_size;
};
inline constexpr KernelKhoVersion kKernelKhoVersions[] = {
    {"kho-v1", kPropSubFdt, false},
    {"kho-v2", "preserved-data", false},
    {"kho-v3", "preserved-data", true},
    {"kho-v4", "preserved-data", true},
};
inline constexpr const char* kLuoFdtVersions[] = {"luo-v1", "luo-v2"};
inline constexpr const char* kLuoStructVersions[] = {"luo-v3", "luo-v4", "luo-v5"};

inline constexpr uint32_t kKexecMetadataVersion = 1;
struct [[gnu::packed]] KexecMetadata {
  uint32_t version;
  char release[65];      // as uname(2) says it
  uint32_t kexec_count;  // since the last cold boot, with the kexec that is to come
};
static_assert(sizeof(KexecMetadata) == 73 && offsetof(KexecMetadata, kexec_count) == 69);

}  // namespace outlive::abi
