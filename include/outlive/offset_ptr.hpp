// outlive::OffsetPtr<T>: a pointer that may live in outlive memory, for C++17 and newer.
//
// It keeps the distance from its own place to what it points at, so that it means the same at every
// address the region is mapped at, before an update and after it. Both ends must be in the same
// region. It is 8 bytes; all zeroes are the null pointer, so cleared memory holds null pointers.
//
//   struct Node { outlive::OffsetPtr<Node> next; int value; };
//   node->next = other;                    // assign a plain pointer
//   for (Node *n = list->head.get(); n != nullptr; n = n->next.get()) ...
//
// Copying it computes the distance anew: never memcpy or realloc one to another place. A pointer to
// itself can't be told from null and isn't possible. Not atomic: one thread at a time.
#ifndef OUTLIVE_OFFSET_PTR_HPP
#define OUTLIVE_OFFSET_PTR_HPP

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace outlive {
inline namespace v0 {

template <typename T>
class OffsetPtr {
 public:
  using element_type = T;

  OffsetPtr() noexcept = default;
  OffsetPtr(std::nullptr_t) noexcept {}   // NOLINT: as a pointer does
  OffsetPtr(T* to) noexcept { set(to); }  // NOLINT
  OffsetPtr(const OffsetPtr& other) noexcept { set(other.get()); }
  template <typename U, typename = std::enable_if_t<std::is_convertible<U*, T*>::value>>
  OffsetPtr(const OffsetPtr<U>& other) noexcept {  // NOLINT
    set(other.get());
  }
  OffsetPtr& operator=(const OffsetPtr& other) noexcept {
    set(other.get());
    return *this;
  }
  OffsetPtr& operator=(T* to) noexcept {
    set(to);
    return *this;
  }
  OffsetPtr& operator=(std::nullptr_t) noexcept {
    distance_ = 0;
    return *this;
  }
  ~OffsetPtr() = default;

  T* get() const noexcept {
    if (distance_ == 0) return nullptr;
    return reinterpret_cast<T*>(reinterpret_cast<std::uintptr_t>(this) +
                                static_cast<std::uintptr_t>(distance_));
  }
  T* operator->() const noexcept { return get(); }
  template <typename U = T>
  std::add_lvalue_reference_t<U> operator*() const noexcept {
    return *get();
  }
  template <typename U = T>
  std::add_lvalue_reference_t<U> operator[](std::ptrdiff_t index) const noexcept {
    return get()[index];
  }
  explicit operator bool() const noexcept { return distance_ != 0; }

  friend bool operator==(const OffsetPtr& a, const OffsetPtr& b) noexcept {
    return a.get() == b.get();
  }
  friend bool operator!=(const OffsetPtr& a, const OffsetPtr& b) noexcept { return !(a == b); }
  friend bool operator==(const OffsetPtr& a, const T* b) noexcept { return a.get() == b; }
  friend bool operator!=(const OffsetPtr& a, const T* b) noexcept { return !(a == b); }
  friend bool operator==(const OffsetPtr& a, std::nullptr_t) noexcept { return a.distance_ == 0; }
  friend bool operator!=(const OffsetPtr& a, std::nullptr_t) noexcept { return a.distance_ != 0; }

 private:
  void set(T* to) noexcept {
    distance_ = to == nullptr ? 0
                              : static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(to) -
                                                          reinterpret_cast<std::uintptr_t>(this));
  }

  std::int64_t distance_ = 0;
};

static_assert(sizeof(OffsetPtr<int>) == 8, "part of the services' own formats");

}  // namespace v0
}  // namespace outlive

#endif
