#include "cli/kho_blob.h"

#include "abi/kho.h"
#include "cli/fields.h"
#include "cli/format.h"
#include "cli/table.h"
#include "kho/fdt.h"
#include "kho/kernel_blobs.h"
#include "kho/reserve_mem.h"

namespace outlive::cli {
namespace {

Json address_json(const std::optional<kho::Phys>& address) {
  return address ? Json(wire::hex_text(address->value)) : Json();
}

Result<Json> root_fdt_json(std::span<const std::byte> bytes) {
  const kho::RootFdtContents root = TRY(kho::parse_kernel_root_fdt(bytes));
  return Json{{"kind", "root FDT"},
              {"compatible", root.compatible},
              {"memory_map", wire::hex_text(root.memory_map.value)},
              {"subtrees", subtrees_json(root.subtrees)}};
}

Result<Json> luo_json(std::span<const std::byte> bytes) {
  const kho::LuoBlob blob = TRY(kho::parse_luo_blob(bytes));
  return Json{
      {"kind", "LUO"},
      {"compatible", blob.compatible},
      {"liveupdate_number", blob.liveupdate_number ? Json(*blob.liveupdate_number) : Json()},
      {"header", address_json(blob.header)},
      {"sessions", address_json(blob.sessions)},
      {"flbs", address_json(blob.flbs)}};
}

Result<Json> memblock_json(std::span<const std::byte> bytes) {
  Json regions = Json::array();
  const std::vector<kho::ReserveMem::Region> parsed = TRY(kho::parse_memblock(bytes));
  for (const kho::ReserveMem::Region& one : parsed) {
    regions.push_back(
        {{"name", one.name}, {"start", wire::hex_text(one.start.value)}, {"size", one.size}});
  }
  return Json{{"kind", "memblock"},
              {"compatible", abi::kMemblockCompatible},
              {"regions", std::move(regions)}};
}

Result<Json> metadata_json(std::span<const std::byte> bytes) {
  const kho::KexecMetadata metadata = TRY(kho::parse_kexec_metadata(bytes));
  return Json{{"kind", "kexec-metadata"},
              {"release", metadata.release},
              {"kexec_count", metadata.kexec_count}};
}

}  // namespace

Json subtrees_json(const std::vector<kho::Subtree>& subtrees) {
  Json list = Json::array();
  for (const kho::Subtree& one : subtrees) {
    list.push_back(
        {{"name", one.name}, {"address", wire::hex_text(one.data.value)}, {"size", one.size}});
  }
  return list;
}

Result<Json> subtree_json(std::string_view name, std::span<const std::byte> bytes) {
  if (name == abi::kSubtreeKexecMetadata) return metadata_json(bytes);
  return blob_json(bytes);
}

Result<Json> blob_json(std::span<const std::byte> bytes) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (text.starts_with("luo-")) return luo_json(bytes);
  if (!text.starts_with("\xd0\x0d\xfe\xed")) {  // FDT_MAGIC
    return fail(EPROTO, "it is no arena, and no blob of KHO or LUO: it begins with '{}'",
                clean(text.substr(0, 16)));
  }
  TRY(kho::check_fdt(bytes));
  const std::string version = kho::fdt_string(bytes.data(), 0, abi::kPropCompatible);
  if (version.starts_with("kho-")) return root_fdt_json(bytes);
  if (version.starts_with("luo-")) return luo_json(bytes);
  if (version.starts_with("memblock-")) return memblock_json(bytes);
  return fail(EPROTO, "version '{}' is not known here (kho-v1 to kho-v4, luo-v1 to luo-v5, {} are)",
              version, abi::kMemblockCompatible);
}

Result<std::string> subtree_table(const Json& subtrees) {
  Table table({"SUBTREE", "ADDRESS", ">SIZE"});
  for (const Json& subtree : subtrees) {
    Fields f(subtree);
    table.row({f.text("name"), "0x" + f.text("address"), fmt::format("{}", f.number("size"))});
    TRY(f.check());
  }
  return table.empty() ? std::string("no subtrees\n") : table.text();
}

std::string blob_text(const Json& blob) {
  std::string text;
  for (const auto& [name, value] : blob.items()) {
    if (value.is_null() || value.is_array()) continue;
    text += fmt::format("{:18} {}\n", name,
                        clean(value.is_string() ? value.get<std::string>() : value.dump()));
  }
  return text;
}

}  // namespace outlive::cli
