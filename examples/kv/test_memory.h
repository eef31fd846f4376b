// For kv's tests: a memory of its own in a memfd, without outlived.
#pragma once

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <outlive/memory.hpp>

namespace kv {

inline outlive::Memory test_memory(uint64_t limit = uint64_t{64} << 20) {
  outlive_memory* memory = nullptr;
  const int fd = memfd_create("kv-test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  EXPECT_EQ(outlive_memory_from_fd(fd, "kv-test", 1 << 20, limit, 1, &memory), 0)
      << outlive_error();
  return outlive::Memory(memory);
}

}  // namespace kv
