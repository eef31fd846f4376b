// Reading what a kernel shows of its KHO and LUO state in debugfs (abi/kernel_blobs.h has the
// versions). A version that isn't listed there is named in the error, never guessed at.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "base/result.h"
#include "kho/phys.h"
#include "kho/root_fdt_format.h"

namespace outlive::kho {

// The subtree "LUO" in any of its versions: what this version has.
struct LuoBlob {
  std::string compatible;
  std::optional<uint64_t> liveupdate_number;  // v1, v3 to v5
  std::optional<Phys> header;                 // v2: where the rest is, outside the blob
  std::optional<Phys> sessions;
  std::optional<Phys> flbs;
};

// EPROTO names the version, EUCLEAN what is damaged.
Result<LuoBlob> parse_luo_blob(std::span<const std::byte> bytes);

// The subtree "kexec-metadata": what the kernel that wrote it says of itself.
struct KexecMetadata {
  std::string release;
  uint32_t kexec_count = 0;  // since the last cold boot, with the kexec that is to come
};

// The same errors.
Result<KexecMetadata> parse_kexec_metadata(std::span<const std::byte> bytes);

}  // namespace outlive::kho
