// KeySet: tracker keys in the heap, as bitmaps by prefix: what the tracker ought to hold, computed
// from the descriptors.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <unordered_map>

#include "abi/kho.h"

namespace outlive::kho {

inline constexpr uint64_t kBitmapWords = abi::kPageSize / sizeof(uint64_t);

class KeySet {
 public:
  using Bitmap = std::array<uint64_t, kBitmapWords>;

  void insert(uint64_t address, unsigned order) {
    const uint64_t key = abi::tracker_key(address, order);
    const uint64_t prefix = key >> abi::kTrackerBitmapBits;
    Recent& recent = recent_[order];
    if (recent.bitmap == nullptr || recent.prefix != prefix) {
      auto& slot = bitmaps_[prefix];
      if (slot == nullptr) slot = std::make_unique<Bitmap>();
      recent = {prefix, slot.get()};
    }
    const uint64_t bit = key & ((uint64_t{1} << abi::kTrackerBitmapBits) - 1);
    (*recent.bitmap)[bit >> 6] |= uint64_t{1} << (bit & 63);
  }
  // By prefix (key >> kTrackerBitmapBits).
  const std::unordered_map<uint64_t, std::unique_ptr<Bitmap>>& bitmaps() const { return bitmaps_; }

 private:
  struct Recent {
    uint64_t prefix = 0;
    Bitmap* bitmap = nullptr;
  };
  std::unordered_map<uint64_t, std::unique_ptr<Bitmap>> bitmaps_;
  std::array<Recent, abi::kMaxOrder + 1> recent_{};
};

}  // namespace outlive::kho
