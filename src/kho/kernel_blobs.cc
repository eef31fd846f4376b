#include "kho/kernel_blobs.h"

#include <libfdt.h>

#include <algorithm>
#include <cstring>

#include "abi/kernel_blobs.h"
#include "abi/luo.h"
#include "kho/fdt.h"

namespace outlive::kho {

namespace {

Error unknown_version(const std::string& version) {
  return fail(EPROTO, "LUO: version '{}' is not known here (luo-v1 to luo-v5 are)", version);
}

Result<Phys> node_word(const void* fdt, const char* node_name, const char* compatible,
                       const char* property) {
  const int node = fdt_subnode_offset(fdt, 0, node_name);
  if (node < 0) return fail(EUCLEAN, "LUO: no node '{}'", node_name);
  const std::string version = fdt_string(fdt, node, abi::kPropCompatible);
  if (version != compatible) {
    return fail(EPROTO, "LUO: '{}': version '{}' is not '{}'", node_name, version, compatible);
  }
  const uint64_t word = TRY(fdt_word(fdt, node, property).context("LUO"));
  return Phys{word};
}

Result<LuoBlob> parse_luo_fdt(std::span<const std::byte> bytes) {
  TRY(check_fdt(bytes).context("LUO"));
  const void* fdt = bytes.data();
  LuoBlob blob;
  blob.compatible = fdt_string(fdt, 0, abi::kPropCompatible);
  if (blob.compatible == abi::kLuoFdtVersions[0]) {
    blob.liveupdate_number = TRY(fdt_word(fdt, 0, abi::kPropLiveUpdateNumber).context("LUO"));
    blob.sessions = TRY(node_word(fdt, abi::kNodeLuoSession, abi::kLuoSessionCompatible,
                                  abi::kPropLuoSessionHeader));
    blob.flbs =
        TRY(node_word(fdt, abi::kNodeLuoFlb, abi::kLuoFlbCompatible, abi::kPropLuoFlbHeader));
    return blob;
  }
  if (blob.compatible == abi::kLuoFdtVersions[1]) {
    const uint64_t header = TRY(fdt_word(fdt, 0, abi::kPropLuoAbiHeader).context("LUO"));
    blob.header = Phys{header};
    return blob;
  }
  return unknown_version(blob.compatible);
}

}  // namespace

Result<LuoBlob> parse_luo_blob(std::span<const std::byte> bytes) {
  // FDT_MAGIC is big endian in every FDT.
  constexpr unsigned char kMagic[] = {0xd0, 0x0d, 0xfe, 0xed};
  if (bytes.size() >= sizeof(kMagic) && std::memcmp(bytes.data(), kMagic, sizeof(kMagic)) == 0) {
    return parse_luo_fdt(bytes);
  }
  LuoBlob blob;
  abi::LuoV5 raw{};
  const size_t there = std::min(bytes.size(), sizeof(raw));
  if (there > 0) std::memcpy(&raw, bytes.data(), there);
  for (const char c : raw.compatible) {
    if (c == 0) break;
    blob.compatible += c >= ' ' && c <= '~' ? c : '?';
  }
  if (std::ranges::find(abi::kLuoStructVersions, blob.compatible) ==
      std::ranges::end(abi::kLuoStructVersions)) {
    return unknown_version(blob.compatible);
  }
  if (bytes.size() < sizeof(raw)) {
    return fail(EUCLEAN, "LUO: {} bytes of {}", bytes.size(), sizeof(raw));
  }
  blob.liveupdate_number = uint64_t{raw.liveupdate_num};
  blob.sessions = Phys{raw.sessions_pa};
  blob.flbs = Phys{raw.flbs_pa};
  return blob;
}

Result<KexecMetadata> parse_kexec_metadata(std::span<const std::byte> bytes) {
  abi::KexecMetadata raw{};
  const size_t there = std::min(bytes.size(), sizeof(raw));
  if (there > 0) std::memcpy(&raw, bytes.data(), there);
  if (there < sizeof(raw.version)) return fail(EUCLEAN, "kexec-metadata: {} bytes", there);
  if (const uint32_t version = raw.version; version != abi::kKexecMetadataVersion) {
    return fail(EPROTO, "kexec-metadata: version {} is not known here ({} is)", version,
                abi::kKexecMetadataVersion);
  }
  if (there < sizeof(raw)) {
    return fail(EUCLEAN, "kexec-metadata: {} bytes of {}", there, sizeof(raw));
  }
  KexecMetadata metadata{.release = {}, .kexec_count = raw.kexec_count};
  const auto end = std::ranges::find(raw.release, '\0');
  if (end == std::ranges::end(raw.release)) return fail(EUCLEAN, "kexec-metadata: no end of text");
  for (const char c : std::string_view(raw.release, end)) {
    metadata.release += c >= ' ' && c <= '~' ? c : '?';
  }
  return metadata;
}

}  // namespace outlive::kho
