// What the tests of memory share: seeds, regions, and the pattern that a block is filled with.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <random>

#include "client/memory.h"

namespace outlive::client {

// $OUTLIVE_SEED, or one of the moment; printed, so that a failure can be had again.
inline uint64_t test_seed() {
  const char* given = getenv("OUTLIVE_SEED");
  const uint64_t seed = given != nullptr ? strtoull(given, nullptr, 0) : std::random_device{}();
  printf("OUTLIVE_SEED=%llu\n", static_cast<unsigned long long>(seed));
  return seed;
}

inline std::unique_ptr<Memory> make_memory(uint64_t size, uint64_t limit) {
  Result<UniqueFd> file = Memory::new_file("outlive-test");
  if (!file) return nullptr;
  Result<std::unique_ptr<Memory>> memory = Memory::create(file.take(), "test", size, limit);
  EXPECT_TRUE(memory) << memory.error().text();
  return memory ? memory.take() : nullptr;
}

// The same region once more, mapped elsewhere; read-only.
inline std::unique_ptr<Memory> attach_again(const Memory& memory) {
  Result<UniqueFd> file = sys::dup_cloexec(memory.file());
  if (!file) return nullptr;
  Result<std::unique_ptr<Memory>> again = Memory::attach(file.take());
  EXPECT_TRUE(again) << again.error().text();
  return again ? again.take() : nullptr;
}

inline std::string check_text(const Memory& memory) {
  const Status status = memory.check();
  return status ? "" : status.error().text();
}

inline const abi::MemoryHeader& header_of(const Memory& memory) {
  return *reinterpret_cast<const abi::MemoryHeader*>(memory.base());
}
inline uint64_t heap_bytes(const Memory& memory) {
  return header_of(memory).pages << abi::kMemoryPageShift;
}

// A block's bytes are a function of its number. Of a long one the first 64 of every 4096 bytes and
// the last 64 stand for the rest.
template <typename Visit>
bool visit_pattern(uint64_t bytes, uint64_t number, Visit visit) {
  const unsigned char value = static_cast<unsigned char>(number * 167 + 13);
  if (bytes <= 4096) return visit(uint64_t{0}, bytes, value);
  for (uint64_t at = 0; at + 64 <= bytes; at += 4096) {
    if (!visit(at, uint64_t{64}, value)) return false;
  }
  return visit(bytes - 64, uint64_t{64}, value);
}
inline void fill(std::byte* block, uint64_t bytes, uint64_t number) {
  visit_pattern(bytes, number, [&](uint64_t at, uint64_t length, unsigned char value) {
    memset(block + at, value, length);
    return true;
  });
}
inline bool is_filled(const std::byte* block, uint64_t bytes, uint64_t number) {
  return visit_pattern(bytes, number, [&](uint64_t at, uint64_t length, unsigned char value) {
    const unsigned char* from = reinterpret_cast<const unsigned char*>(block) + at;
    return length == 0 || (from[0] == value && memcmp(from, from + 1, length - 1) == 0);
  });
}

}  // namespace outlive::client
