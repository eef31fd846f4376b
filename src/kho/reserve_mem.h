// ReserveMem: named regions that keep their address over every update, from the configuration
// (`reserve_mem NAME SIZE ALIGN`). The record of them is the subtree "memblock".
//
//   Happy path   reserve() finds the region of that name, or makes it, zeroed
//   Unhappy      a region that was made with another size or alignment: EEXIST naming both; killed
//                before the subtree names a region: open() frees it
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "kho/arena.h"

namespace outlive::kho {

class ReserveMem {
 public:
  struct Region {
    std::string name;
    Phys start;
    uint64_t size = 0;
  };

  // Reads the subtree, if there is one: EPROTO, EUCLEAN. The arena must outlive it.
  static Result<ReserveMem> open(Arena& arena);

  // `align` is a power of two (0: a page), both up to 1 GiB; the region is contiguous and never
  // smaller than `size`. EINVAL, EEXIST, ENOSPC.
  Result<Region> reserve(std::string_view name, uint64_t size, uint64_t align = 0);
  std::optional<Region> find(std::string_view name) const;
  // ENOENT. Its bytes are gone.
  Status release(std::string_view name);
  const std::vector<Region>& list() const { return regions_; }

 private:
  explicit ReserveMem(Arena& arena) : arena_(&arena) {}
  Status write(const std::vector<Region>& regions);

  Arena* arena_;
  std::vector<Region> regions_;
};

// The subtree's bytes, also of an image or a kernel's debugfs.
Result<std::vector<ReserveMem::Region>> parse_memblock(std::span<const std::byte> bytes);

}  // namespace outlive::kho
