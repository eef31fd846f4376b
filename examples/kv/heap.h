// Heap: the outlive memory as the rest of kv sees it. Everything in it points by offset: the next
// version maps the same memory at another address. Offset 0 is "none".
#pragma once

#include <outlive/outlive.h>

#include <cstddef>
#include <cstdint>

namespace kv {

using Offset = uint64_t;

// One store that makes a finished thing reachable. What was written before it is seen by everyone
// who sees the offset - also by the next process, when this one is killed right after it.
inline void publish(Offset* link, Offset target) {
  __atomic_store_n(link, target, __ATOMIC_RELEASE);
}

class Heap {
 public:
  Heap() = default;
  explicit Heap(outlive_memory* memory) : memory_(memory) { refresh(); }
  // After the memory became writable: the writable view is another mapping of the same bytes.
  void refresh() { base_ = static_cast<std::byte*>(outlive_memory_base(memory_)); }

  // 0: out of memory. Never moves what is there.
  Offset allocate(size_t bytes) const { return outlive_memory_allocate(memory_, bytes); }
  void free(Offset offset) const { outlive_memory_free(memory_, offset); }
  size_t usable(Offset offset) const { return outlive_memory_usable(memory_, offset); }
  outlive_memory* memory() const { return memory_; }

  template <typename T>
  T* at(Offset offset) const {
    return reinterpret_cast<T*>(base_ + offset);
  }
  Offset offset(const void* pointer) const {
    return static_cast<Offset>(static_cast<const std::byte*>(pointer) - base_);
  }
  // For what a crash may have left half done: nullptr when `bytes` there are not all inside.
  template <typename T>
  const T* checked(Offset offset, size_t bytes = sizeof(T)) const {
    const uint64_t size = outlive_memory_size(memory_);
    if (offset == 0 || offset % alignof(T) != 0 || offset > size || bytes > size - offset) {
      return nullptr;
    }
    return at<T>(offset);
  }

 private:
  outlive_memory* memory_ = nullptr;
  std::byte* base_ = nullptr;
};

// While one lives the memory is marked as "inside a change". A process that dies in here leaves the
// mark, and the next one repairs (repair.h) instead of trusting counts and free lists.
class Change {
 public:
  explicit Change(const Heap& heap) : memory_(heap.memory()) { outlive_memory_enter(memory_); }
  ~Change() { outlive_memory_leave(memory_); }
  Change(const Change&) = delete;
  Change& operator=(const Change&) = delete;

 private:
  outlive_memory* memory_;
};

}  // namespace kv
