#include "kho/root_fdt_format.h"

#include <libfdt.h>

#include <algorithm>
#include <unordered_set>

#include "abi/kernel_blobs.h"
#include "kho/fdt.h"

namespace outlive::kho {

namespace {

constexpr size_t kMaxName = 31;

Result<Subtree> parse_subtree(const void* fdt, int node, const abi::KernelKhoVersion& version) {
  Subtree subtree;
  int length = 0;
  const char* name = fdt_get_name(fdt, node, &length);
  if (name == nullptr || !is_subtree_name(name)) return fail(EUCLEAN, "root FDT: a bad name");
  subtree.name = name;
  subtree.data.value = TRY(fdt_word(fdt, node, version.data_property).context("'{}'", name));
  if (version.has_size) {
    subtree.size = TRY(fdt_word(fdt, node, abi::kPropBlobSize).context("'{}'", name));
  }
  return subtree;
}

Result<RootFdtContents> parse(std::span<const std::byte> bytes,
                              std::span<const abi::KernelKhoVersion> versions) {
  TRY(check_fdt(bytes).context("root"));
  const void* fdt = bytes.data();
  RootFdtContents contents;
  contents.compatible = fdt_string(fdt, 0, abi::kPropCompatible);
  const auto version =
      std::ranges::find(versions, contents.compatible,
                        [](const abi::KernelKhoVersion& v) { return std::string(v.compatible); });
  if (version == versions.end()) {
    return fail(EPROTO, "root FDT: version '{}' is not known here ({} is)", contents.compatible,
                versions.size() == 1 ? versions[0].compatible : "kho-v1 to kho-v4");
  }
  contents.memory_map.value = TRY(fdt_word(fdt, 0, abi::kPropMemoryMap).context("root"));
  std::unordered_set<std::string> names;
  int node = 0;
  fdt_for_each_subnode(node, fdt, 0) {
    Subtree subtree = TRY(parse_subtree(fdt, node, *version));
    if (!names.insert(subtree.name).second) {
      return fail(EUCLEAN, "root FDT: subtree '{}' is there twice", subtree.name);
    }
    contents.subtrees.push_back(std::move(subtree));
  }
  return contents;
}

constexpr const abi::KernelKhoVersion& kOurs = abi::kKernelKhoVersions[2];
static_assert(std::string_view(kOurs.compatible) == abi::kKhoCompatible);

}  // namespace

bool is_subtree_name(std::string_view name) {
  constexpr std::string_view kAllowed =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789,._+-";
  return !name.empty() && name.size() <= kMaxName &&
         name.find_first_not_of(kAllowed) == std::string_view::npos;
}

Result<RootFdtContents> parse_root_fdt(std::span<const std::byte> bytes) {
  return parse(bytes, {&kOurs, 1});
}

Result<RootFdtContents> parse_kernel_root_fdt(std::span<const std::byte> bytes) {
  return parse(bytes, abi::kKernelKhoVersions);
}

Result<std::vector<std::byte>> build_root_fdt(const RootFdtContents& contents) {
  FdtBuilder builder(abi::kPageSize);
  builder.set_string(0, abi::kPropCompatible, contents.compatible);
  builder.set_word(0, abi::kPropMemoryMap, contents.memory_map.value);
  // libfdt puts a new node before its siblings: backwards keeps our order.
  for (auto subtree = contents.subtrees.rbegin(); subtree != contents.subtrees.rend(); ++subtree) {
    const int node = builder.add_node(subtree->name);
    builder.set_word(node, abi::kPropData, subtree->data.value);
    builder.set_word(node, abi::kPropBlobSize, subtree->size);
  }
  Result<std::vector<std::byte>> page = builder.finish();
  if (!page && page.error().code == ENOSPC) {
    return fail(ENOSPC, "root FDT: its page is full ({} subtrees)", contents.subtrees.size());
  }
  return page;
}

}  // namespace outlive::kho
