#include "kho/root_fdt.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "base/fault.h"
#include "kho/fdt.h"
#include "kho/layout.h"

namespace outlive::kho {

namespace {

constexpr std::array<std::string_view, 5> kReserved = {
    abi::kSubtreeLuo, abi::kSubtreeMemblock, abi::kSubtreeClients, abi::kSubtreeKexecMetadata,
    abi::kSubtreeRecords};

// What a subtree takes in an FDT: node begin and end, its name, two properties of a u64.
constexpr size_t node_bytes(std::string_view name) {
  return 4 + (name.size() + 4) / 4 * 4 + 2 * (12 + 8) + 4;
}

// Room that is kept back for our own names that aren't there yet.
size_t kept_back(const std::vector<Subtree>& entries) {
  size_t bytes = 0;
  for (const std::string_view name : kReserved) {
    if (std::ranges::find(entries, name, &Subtree::name) == entries.end()) {
      bytes += node_bytes(name);
    }
  }
  return bytes;
}

}  // namespace

bool RootFdt::is_reserved(std::string_view name) {
  return std::ranges::find(kReserved, name) != kReserved.end();
}

Status RootFdt::check_data(std::string_view name, Phys data, uint64_t size) const {
  const std::optional<Folio> folio = arena_.folio_of(data);
  if (!folio || !folio->live()) {
    return fail(EINVAL, "subtree '{}': {:#x} is not in a preserved folio", name, data.value);
  }
  if (size > folio->head.value + folio->bytes() - data.value) {
    return fail(EINVAL, "subtree '{}': {} bytes are more than its folio has", name, size);
  }
  return {};
}

Status RootFdt::add_subtree(std::string_view name, Phys data, uint64_t size) {
  if (const int code = fault("kho.subtree")) return fail(code, "subtree '{}': injected", name);
  if (!is_subtree_name(name)) {
    return fail(EINVAL, "subtree: a name has 1 to 31 of A-Z a-z 0-9 , . _ + -");
  }
  TRY(check_data(name, data, size));
  std::vector<Entry> entries = list();
  if (std::ranges::find(entries, name, &Entry::name) != entries.end()) {
    return fail(EEXIST, "subtree '{}' is there already", name);
  }
  entries.push_back({std::string(name), data, size});
  return change(entries, name);
}

Status RootFdt::remove_subtree(std::string_view name) {
  std::vector<Entry> entries = list();
  const auto found = std::ranges::find(entries, name, &Entry::name);
  if (found == entries.end()) return fail(ENOENT, "no subtree '{}'", name);
  entries.erase(found);
  return change(entries, {});
}

Status RootFdt::replace_subtree(std::string_view name, Phys data, uint64_t size) {
  if (const int code = fault("kho.subtree")) return fail(code, "subtree '{}': injected", name);
  TRY(check_data(name, data, size));
  std::vector<Entry> entries = list();
  const auto found = std::ranges::find(entries, name, &Entry::name);
  if (found == entries.end()) return fail(ENOENT, "no subtree '{}'", name);
  found->data = data;
  found->size = size;
  return change(entries, {});
}

std::optional<RootFdt::Found> RootFdt::find_subtree(std::string_view name) const {
  for (const Entry& entry : list()) {
    if (entry.name == name) return Found{entry.data, entry.size};
  }
  return std::nullopt;
}

std::vector<RootFdt::Entry> RootFdt::list() const {
  Result<RootFdtContents> contents = parse_root_fdt(bytes());
  CHECK(contents);  // attach has validated it, and only we write it
  return contents.take().subtrees;
}

std::span<const std::byte> RootFdt::bytes() const {
  const std::byte* page = arena_.view().at(arena_.root_fdt(), abi::kPageSize);
  return {page, std::min<size_t>(fdt_size({page, abi::kPageSize}), abi::kPageSize)};
}

Result<Phys> RootFdt::make_blob(std::span<const std::byte> bytes, BlobFormat format) {
  if (bytes.empty()) return fail(EINVAL, "subtree: an empty blob");
  if (format == BlobFormat::kFdt) TRY(check_fdt(bytes));
  const Phys blob = TRY(arena_.alloc_preserve(bytes.size(), abi::kOwnerSubtree));
  store_bytes(arena_.at(blob, bytes.size()), bytes.data(), bytes.size());
  return blob;
}

Result<Phys> RootFdt::add_subtree_blob(std::string_view name, std::span<const std::byte> bytes,
                                       BlobFormat format) {
  const Phys blob = TRY(make_blob(bytes, format).context("subtree '{}'", name));
  Status added = add_subtree(name, blob, bytes.size());
  if (added) return blob;
  arena_.free(blob);
  return added.take_error();
}

Result<Phys> RootFdt::replace_subtree_blob(std::string_view name, std::span<const std::byte> bytes,
                                           BlobFormat format) {
  const std::optional<Found> old = find_subtree(name);
  if (!old) return add_subtree_blob(name, bytes, format);
  const Phys blob = TRY(make_blob(bytes, format).context("subtree '{}'", name));
  Status replaced = replace_subtree(name, blob, bytes.size());
  if (!replaced) {
    arena_.free(blob);
    return replaced.take_error();
  }
  if (arena_.is_live(old->data, abi::kOwnerSubtree)) arena_.free(old->data);
  return blob;
}

Status RootFdt::remove_subtree_blob(std::string_view name) {
  const std::optional<Found> found = find_subtree(name);
  TRY(remove_subtree(name));
  if (arena_.is_live(found->data, abi::kOwnerSubtree)) arena_.free(found->data);
  return {};
}

Status RootFdt::add_client_subtree(std::string_view name, Phys data, uint64_t size) {
  if (is_reserved(name)) return fail(EPERM, "subtree '{}' is a reserved name", name);
  return add_subtree(name, data, size);
}

Status RootFdt::remove_client_subtree(std::string_view name) {
  if (is_reserved(name)) return fail(EPERM, "subtree '{}' is a reserved name", name);
  return remove_subtree(name);
}

// Makes a root FDT of these entries the current one. `added` is the name that is new, if one is.
Status RootFdt::change(const std::vector<Entry>& entries, std::string_view added) {
  RootFdtContents contents;
  contents.compatible = abi::kKhoCompatible;
  contents.memory_map = Phys{arena_.header().tracker_root};
  contents.subtrees = entries;
  const std::vector<std::byte> page = TRY(build_root_fdt(contents));
  const size_t used = fdt_size(page);
  if (!added.empty() && !is_reserved(added) && used + kept_back(entries) > abi::kPageSize) {
    return fail(ENOSPC, "subtree '{}': the root FDT is full ({} subtrees)", added,
                entries.size() - 1);
  }
  const uint64_t spare = arena_.root_fdt().page() == kFirstFdtPage ? kSecondFdtPage : kFirstFdtPage;
  store_bytes(arena_.at(Phys::of_page(spare), abi::kPageSize), page.data(), page.size());
  arena_.set_root_fdt(Phys::of_page(spare));
  return {};
}

}  // namespace outlive::kho
