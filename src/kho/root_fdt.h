// The root FDT: the one page from which everything preserved is found. It names subtrees: blobs of
// any format at an address of the arena, which can be added and removed at any time.
//
//   Happy path   build the new FDT, check it, write it into the spare page, make that the current
//                one by one store.
//   Unhappy      bad name EINVAL, taken EEXIST, page full ENOSPC, unknown ENOENT: tracker and root
//                FDT are byte for byte what they were.
//
// It keeps no state of its own: any number of them on one arena see the same. No locks.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kho/arena.h"
#include "kho/root_fdt_format.h"

namespace outlive::kho {

enum class BlobFormat { kRaw, kFdt };  // kFdt: checked with fdt_check_full before it is added

class RootFdt {
 public:
  struct Found {
    Phys data;
    uint64_t size = 0;
  };
  using Entry = Subtree;  // name, data, size

  explicit RootFdt(Arena& arena) : arena_(arena) {}

  // `data` up to `size` must lie in one LIVE folio (EINVAL), which stays the caller's: remove the
  // subtree before you free it. Names: 1 to 31 of A-Z a-z 0-9 , . _ + -
  Status add_subtree(std::string_view name, Phys data, uint64_t size);
  // Only takes the name away. ENOENT.
  Status remove_subtree(std::string_view name);
  // Points an existing name at other data: one store. ENOENT.
  Status replace_subtree(std::string_view name, Phys data, uint64_t size);
  std::optional<Found> find_subtree(std::string_view name) const;
  std::vector<Entry> list() const;

  // Builds, checks, allocates, preserves and adds in one step; the blob is owned by its name (owner
  // kOwnerSubtree: attach gives it back when the root FDT doesn't name it).
  Result<Phys> add_subtree_blob(std::string_view name, std::span<const std::byte> bytes,
                                BlobFormat format = BlobFormat::kRaw);
  // The same for a name that may exist: its old blob is freed after the switch.
  Result<Phys> replace_subtree_blob(std::string_view name, std::span<const std::byte> bytes,
                                    BlobFormat format = BlobFormat::kRaw);
  // Removes the name and frees its blob.
  Status remove_subtree_blob(std::string_view name);

  // What clients may do: EPERM for our reserved names.
  Status add_client_subtree(std::string_view name, Phys data, uint64_t size);
  Status remove_client_subtree(std::string_view name);

  // The current FDT, up to its total size.
  std::span<const std::byte> bytes() const;
  // LUO, memblock, clients, kexec-metadata, outlive.
  static bool is_reserved(std::string_view name);

 private:
  Status change(const std::vector<Entry>& entries, std::string_view added);
  Status check_data(std::string_view name, Phys data, uint64_t size) const;
  Result<Phys> make_blob(std::span<const std::byte> bytes, BlobFormat format);

  Arena& arena_;
};

}  // namespace outlive::kho
