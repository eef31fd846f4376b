// outlive::Memory: a named region that the next version finds in place, without a copy.
//
//   struct State { std::uint64_t requests; };
//   auto memory = outlive::Memory::create(session, 1, "state", 1 << 20).expect("memory");
//   auto* state = *memory.make<State>();
//   memory.set_root(state);
//   { outlive::Change change(memory); ++state->requests; }
//
// The successor: Memory::open(session, 1), then root<State>(); after committed: writable(), and
// root<State>() again, because the writable mapping stands at another address.
//
// Keep no pointers *in* a region: it is mapped elsewhere next time. Keep OffsetPtr<T>.
#ifndef OUTLIVE_MEMORY_HPP
#define OUTLIVE_MEMORY_HPP

#include <cerrno>
#include <cstdint>
#include <new>
#include <type_traits>
#include <utility>

#include "outlive/client.hpp"
#include "outlive/offset_ptr.hpp"
#include "outlive/outlive.h"
#include "outlive/result.hpp"
#include "outlive/session.hpp"

namespace outlive {
inline namespace v0 {

class Memory {
 public:
  Memory() = default;
  explicit Memory(::outlive_memory* handle) : handle_(handle) {}  // takes it
  Memory(Memory&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Memory& operator=(Memory&& other) noexcept {
    if (this != &other) {
      ::outlive_memory_close(handle_);
      handle_ = std::exchange(other.handle_, nullptr);
    }
    return *this;
  }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  ~Memory() { ::outlive_memory_close(handle_); }

  // A new region, preserved in the session. It grows by itself up to `limit` (0: 64 GiB).
  static Result<Memory> create(Session& session, Token token, const char* name,
                               std::uint64_t size = 1 << 20, std::uint64_t limit = 0) {
    Memory memory;
    return made(
        ::outlive_memory_create(session.handle(), token, name, size, limit, &memory.handle_),
        memory);
  }
  // The successor's slow part, while the old one serves: maps and populates it. The descriptor is
  // one of a Preview (preview.hpp). Not to be read before adopt: the old one is writing.
  static Result<Memory> preview(Client& client, UniqueFd fd) {
    Memory memory;
    return made(::outlive_memory_preview(client.handle(), fd.release(), &memory.handle_), memory);
  }
  static Result<Memory> open(Session& session, Token token) {
    Memory memory;
    return made(::outlive_memory_open(session.handle(), token, &memory.handle_), memory);
  }
  // In adopt, for a previewed one: checks that it is the session's.
  Status confirm(Session& session, Token token) {
    return detail::status(::outlive_memory_open(session.handle(), token, &handle_));
  }
  // From committed on. Pointers into the read-only mapping go on reading the same bytes.
  Status writable() { return detail::status(::outlive_memory_writable(handle_)); }

  explicit operator bool() const { return handle_ != nullptr; }
  ::outlive_memory* handle() const { return handle_; }
  char* base() const { return static_cast<char*>(::outlive_memory_base(handle_)); }
  std::uint64_t size() const { return ::outlive_memory_size(handle_); }

  // nullptr when the region can't grow. 16-aligned; contents are not cleared.
  void* allocate(std::uint64_t bytes) { return pointer(::outlive_memory_allocate(handle_, bytes)); }
  Status free(const void* block) {
    return detail::status(::outlive_memory_free(handle_, offset(block)));
  }

  // A T in the region. T must be the same bytes in the next version: no pointers, no virtuals.
  template <typename T, typename... Args>
  Result<T*> make(Args&&... args) {
    static_assert(std::is_trivially_destructible_v<T> && alignof(T) <= 16,
                  "what outlives the program can't need its destructor");
    void* block = allocate(sizeof(T));
    if (block == nullptr) return Error(ENOMEM, outlive_error());
    return new (block) T{std::forward<Args>(args)...};
  }
  // Where the service's own structure starts; nullptr before set_root().
  template <typename T>
  T* root() const {
    return static_cast<T*>(pointer(::outlive_memory_root(handle_)));
  }
  template <typename T>
  void set_root(const T* object) {
    ::outlive_memory_set_root(handle_, offset(object));
  }

  // No: whoever wrote it died inside a Change. Repair it and say repaired(), or start afresh.
  bool consistent() const { return ::outlive_memory_consistent(handle_) != 0; }
  void repaired() { ::outlive_memory_repaired(handle_); }
  Status check() const { return detail::status(::outlive_memory_check(handle_)); }

 private:
  static Result<Memory> made(int result, Memory& memory) {
    if (result < 0) return Error::last(result);
    return std::move(memory);
  }
  void* pointer(::outlive_offset offset) const { return offset == 0 ? nullptr : base() + offset; }
  ::outlive_offset offset(const void* object) const {
    return object == nullptr
               ? 0
               : static_cast<::outlive_offset>(static_cast<const char*>(object) - base());
  }

  ::outlive_memory* handle_ = nullptr;
};

// While one lives, the region counts as inconsistent. They nest.
class [[nodiscard]] Change {
 public:
  explicit Change(Memory& memory) : handle_(memory.handle()) { ::outlive_memory_enter(handle_); }
  Change(const Change&) = delete;
  Change& operator=(const Change&) = delete;
  ~Change() { ::outlive_memory_leave(handle_); }

 private:
  ::outlive_memory* handle_;
};

}  // namespace v0
}  // namespace outlive
#endif
