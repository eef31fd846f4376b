// Stores into the arena. Every store that matters after a crash goes through these.
//
// A word is stored through atomic_ref with release: a plain store may be deleted or moved by the
// compiler, and for a process that is killed release is enough (the caches outlive it). Bytes are
// not atomic: they become valid by a word that is stored after them.
//
// Tests put in a hook that runs BEFORE each store, and learns what will be overwritten: it looks at
// the arena as a crash at that point would leave it, or notes the old bytes. Unset, it costs one
// branch.
// Threads: one writer an arena; the hook is set while there is one thread.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>

namespace outlive::kho {

extern bool store_hook_armed;
void run_store_hook(void* to, size_t n);
using StoreHook = std::function<void(std::byte* to, size_t n)>;
// An empty function takes the hook away.
void set_store_hook(StoreHook hook);

inline void store_word(uint64_t* word, uint64_t value) {
  if (store_hook_armed) [[unlikely]]
    run_store_hook(word, sizeof *word);
  std::atomic_ref<uint64_t>(*word).store(value, std::memory_order_release);
}

inline uint64_t load_word(const uint64_t* word) {
  // atomic_ref of a const type is not in C++23; it is only read.
  return std::atomic_ref<uint64_t>(*const_cast<uint64_t*>(word)).load(std::memory_order_acquire);
}

inline void store_bytes(void* to, const void* from, size_t n) {
  if (store_hook_armed) [[unlikely]]
    run_store_hook(to, n);
  std::memcpy(to, from, n);
  std::atomic_signal_fence(std::memory_order_seq_cst);
}

inline void zero_bytes(void* to, size_t n) {
  if (store_hook_armed) [[unlikely]]
    run_store_hook(to, n);
  std::memset(to, 0, n);
  std::atomic_signal_fence(std::memory_order_seq_cst);
}

}  // namespace outlive::kho
