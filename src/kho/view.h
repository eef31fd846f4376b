// View: bytes of an arena or of a saved image, read-only, addressed by Phys. It is what readers of
// formats use, so that they work on a live arena and on an image alike.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kho/phys.h"
#include "kho/store.h"

namespace outlive::kho {

class View {
 public:
  View() = default;
  View(const std::byte* base, uint64_t size) : base_(base), size_(size) {}

  uint64_t size() const { return size_; }
  uint64_t pages() const { return size_ >> abi::kPageShift; }
  // nullptr when any of the bytes is out of bounds, and for address 0.
  const std::byte* at(Phys address, uint64_t bytes) const {
    if (!address.valid() || address.value > size_ || bytes > size_ - address.value) return nullptr;
    return base_ + address.value;
  }
  // The same, and nullptr when it isn't aligned for T.
  template <class T>
  const T* object(Phys address) const {
    if (address.value % alignof(T) != 0) return nullptr;
    return reinterpret_cast<const T*>(at(address, sizeof(T)));
  }
  const abi::ArenaHeader* header() const {
    return reinterpret_cast<const abi::ArenaHeader*>(base_);
  }
  const std::byte* base() const { return base_; }

 private:
  const std::byte* base_ = nullptr;
  uint64_t size_ = 0;
};

}  // namespace outlive::kho
