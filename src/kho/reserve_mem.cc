#include "kho/reserve_mem.h"

#include <libfdt.h>

#include <algorithm>
#include <bit>
#include <unordered_set>

#include "kho/fdt.h"
#include "kho/root_fdt.h"

namespace outlive::kho {

namespace {

constexpr size_t kMostFdt = 64 << 10;

Result<std::vector<std::byte>> build_memblock(const std::vector<ReserveMem::Region>& regions) {
  FdtBuilder builder(kMostFdt);
  builder.set_string(0, abi::kPropCompatible, abi::kMemblockCompatible);
  for (auto region = regions.rbegin(); region != regions.rend(); ++region) {
    const int node = builder.add_node(region->name);
    builder.set_string(node, abi::kPropCompatible, abi::kReserveMemCompatible);
    builder.set_word(node, abi::kPropStart, region->start.value);
    builder.set_word(node, abi::kPropSize, region->size);
  }
  std::vector<std::byte> fdt = TRY(builder.finish().context("reserve_mem"));
  fdt.resize(fdt_size(fdt));
  return fdt;
}

Status check_request(std::string_view name, uint64_t size, uint64_t align) {
  constexpr uint64_t kMost = order_bytes(abi::kMaxOrder);
  if (!is_subtree_name(name)) {
    return fail(EINVAL, "reserve_mem: a name has 1 to 31 of A-Z a-z 0-9 , . _ + -");
  }
  if (size == 0 || size > kMost) {
    return fail(EINVAL, "reserve_mem '{}': {} bytes; 1 to {} are possible", name, size, kMost);
  }
  if (align > kMost || (align != 0 && !std::has_single_bit(align))) {
    return fail(EINVAL, "reserve_mem '{}': alignment {} is no power of two up to {}", name, align,
                kMost);
  }
  return {};
}

}  // namespace

Result<std::vector<ReserveMem::Region>> parse_memblock(std::span<const std::byte> bytes) {
  TRY(check_fdt(bytes).context("memblock"));
  const void* fdt = bytes.data();
  const std::string version = fdt_string(fdt, 0, abi::kPropCompatible);
  if (version != abi::kMemblockCompatible) {
    return fail(EPROTO, "memblock: version '{}' is not '{}'", version, abi::kMemblockCompatible);
  }
  std::vector<ReserveMem::Region> regions;
  std::unordered_set<std::string> names;
  int node = 0;
  fdt_for_each_subnode(node, fdt, 0) {
    int length = 0;
    const char* name = fdt_get_name(fdt, node, &length);
    if (name == nullptr || !is_subtree_name(name) || !names.insert(name).second) {
      return fail(EUCLEAN, "memblock: a bad name");
    }
    const std::string kind = fdt_string(fdt, node, abi::kPropCompatible);
    if (kind != abi::kReserveMemCompatible) {
      return fail(EPROTO, "memblock: '{}': version '{}' is not '{}'", name, kind,
                  abi::kReserveMemCompatible);
    }
    ReserveMem::Region region;
    region.name = name;
    region.start.value = TRY(fdt_word(fdt, node, abi::kPropStart).context("memblock"));
    region.size = TRY(fdt_word(fdt, node, abi::kPropSize).context("memblock"));
    regions.push_back(std::move(region));
  }
  return regions;
}

Result<ReserveMem> ReserveMem::open(Arena& arena) {
  ReserveMem memory(arena);
  const auto subtree = RootFdt(arena).find_subtree(abi::kSubtreeMemblock);
  if (subtree) {
    const std::byte* bytes = arena.at(subtree->data, subtree->size);
    if (bytes == nullptr) return fail(EUCLEAN, "memblock: out of bounds");
    memory.regions_ = TRY(parse_memblock({bytes, subtree->size}));
  }
  std::unordered_set<uint64_t> starts;
  for (const Region& region : memory.regions_) {
    if (!arena.is_live(region.start, abi::kOwnerReserveMem, region.size) ||
        !starts.insert(region.start.value).second) {
      return fail(EUCLEAN, "memblock: '{}': no preserved region of {} bytes is at {:#x}",
                  region.name, region.size, region.start.value);
    }
  }
  arena.sweep(abi::kOwnerReserveMem, [&](Phys p) { return starts.contains(p.value); });
  return memory;
}

Result<ReserveMem::Region> ReserveMem::reserve(std::string_view name, uint64_t size,
                                               uint64_t align) {
  TRY(check_request(name, size, align));
  if (const std::optional<Region> old = find(name)) {
    if (old->size != size) {
      return fail(EEXIST, "reserve_mem '{}': asked for {} bytes, but it was made with {}", name,
                  size, old->size);
    }
    if (align != 0 && old->start.value % align != 0) {
      return fail(EEXIST, "reserve_mem '{}': asked for alignment {}, but it is at {:#x}", name,
                  align, old->start.value);
    }
    return *old;
  }
  const Phys start = TRY(arena_->alloc_preserve(std::max(size, align), abi::kOwnerReserveMem)
                             .context("reserve_mem '{}'", name));
  std::vector<Region> regions = regions_;
  regions.push_back({std::string(name), start, size});
  Status written = write(regions);
  if (!written) {
    arena_->free(start);
    return written.take_error();
  }
  regions_ = std::move(regions);
  return regions_.back();
}

std::optional<ReserveMem::Region> ReserveMem::find(std::string_view name) const {
  const auto found = std::ranges::find(regions_, name, &Region::name);
  if (found == regions_.end()) return std::nullopt;
  return *found;
}

Status ReserveMem::release(std::string_view name) {
  std::vector<Region> regions = regions_;
  const auto found = std::ranges::find(regions, name, &Region::name);
  if (found == regions.end()) return fail(ENOENT, "no reserve_mem '{}'", name);
  const Phys start = found->start;
  regions.erase(found);
  TRY(write(regions));
  arena_->free(start);
  regions_ = std::move(regions);
  return {};
}

Status ReserveMem::write(const std::vector<Region>& regions) {
  RootFdt root(*arena_);
  if (regions.empty()) return root.remove_subtree_blob(abi::kSubtreeMemblock);
  const std::vector<std::byte> fdt = TRY(build_memblock(regions));
  TRY(root.replace_subtree_blob(abi::kSubtreeMemblock, fdt, BlobFormat::kFdt));
  return {};
}

}  // namespace outlive::kho
