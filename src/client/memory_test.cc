#include "client/memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <vector>

#include "base/fault.h"
#include "client/memory_test_util.h"
#include "outlive/offset_ptr.hpp"
#include "outlive/outlive.h"

namespace outlive::client {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;

uint64_t held_by_system(const Memory& memory) {
  struct stat status {};
  EXPECT_EQ(fstat(memory.file().get(), &status), 0);
  return static_cast<uint64_t>(status.st_blocks) * 512;
}

TEST(Memory, TheNextOneFindsItInPlace) {
  const std::unique_ptr<Memory> memory = make_memory(kMiB, 0);
  EXPECT_EQ(memory->root(), 0u);
  const uint64_t offset = *memory->allocate(100);
  memcpy(memory->base() + offset, "still here", 11);
  ASSERT_TRUE(memory->set_root(offset));

  const std::unique_ptr<Memory> next = attach_again(*memory);
  EXPECT_NE(next->base(), memory->base());
  EXPECT_EQ(next->name(), "test");
  EXPECT_EQ(next->limit(), Memory::kDefaultLimit);
  EXPECT_EQ(next->size(), memory->size());
  EXPECT_STREQ(reinterpret_cast<const char*>(next->base() + next->root()), "still here");
  EXPECT_TRUE(next->consistent());
  EXPECT_TRUE(*next->same_file(memory->file()));
  EXPECT_FALSE(*next->same_file(make_memory(0, kMiB)->file()));
}

TEST(Memory, ReadOnlyUntilMadeWritable) {
  const std::unique_ptr<Memory> memory = make_memory(kMiB, 16 * kMiB);
  const uint64_t offset = *memory->allocate(4096);
  const std::unique_ptr<Memory> next = attach_again(*memory);
  const std::byte* old_base = next->base();
  EXPECT_FALSE(next->writable());
  EXPECT_EQ(next->allocate(16).error().code, EPERM);
  EXPECT_EQ(next->free(offset).error().code, EPERM);
  EXPECT_EQ(next->set_root(offset).error().code, EPERM);
  const uint64_t epoch = next->epoch();
  next->enter();
  next->leave();
  EXPECT_EQ(next->epoch(), epoch);
  EXPECT_DEATH({ next->base()[offset] = std::byte{1}; }, "");

  next->hold_writes(true);
  EXPECT_EQ(next->make_writable().error().code, EPERM);
  next->hold_writes(false);
  ASSERT_TRUE(next->make_writable());
  ASSERT_TRUE(next->make_writable());
  EXPECT_NE(next->base(), old_base);
  next->base()[offset] = std::byte{42};
  EXPECT_EQ(old_base[offset], std::byte{42});  // pointers into the old view read the same
  EXPECT_TRUE(next->allocate(16));
}

TEST(Memory, PointersStayValidWhenItGrows) {
  const std::unique_ptr<Memory> memory = make_memory(0, 64 * kMiB);
  const uint64_t first = *memory->allocate(1000);
  std::byte* pointer = memory->base() + first;
  fill(pointer, 1000, 5);
  const uint64_t before = memory->size();
  ASSERT_TRUE(memory->allocate(20 * kMiB));
  EXPECT_GE(memory->size(), before + 20 * kMiB);
  EXPECT_EQ(memory->base() + first, pointer);
  EXPECT_TRUE(is_filled(pointer, 1000, 5));
}

TEST(Memory, TheLimitIsAnError) {
  const std::unique_ptr<Memory> memory = make_memory(0, 4 * kMiB);
  EXPECT_EQ(memory->allocate(5 * kMiB).error().code, ENOSPC);
  EXPECT_EQ(memory->allocate(~uint64_t{0}).error().code, ENOSPC);
  std::vector<uint64_t> live;
  while (Result<uint64_t> offset = memory->allocate(10'000)) live.push_back(*offset);
  EXPECT_GE(live.size(), 4 * kMiB / 10'240 * 9 / 10);
  EXPECT_LE(heap_bytes(*memory), 4 * kMiB);
  EXPECT_EQ(check_text(*memory), "");
  for (const uint64_t offset : live) ASSERT_TRUE(memory->free(offset));
  EXPECT_TRUE(memory->allocate(3 * kMiB));
}

TEST(Memory, BadArgumentsOfCreate) {
  const auto code = [](std::string_view name, uint64_t size, uint64_t limit) {
    Result<std::unique_ptr<Memory>> made =
        Memory::create(Memory::new_file("t").take(), name, size, limit);
    return made ? 0 : made.error().code;
  };
  EXPECT_EQ(code("", 0, 0), EINVAL);
  EXPECT_EQ(code(std::string(64, 'x'), 0, 0), EINVAL);
  EXPECT_EQ(code(std::string(63, 'x'), 0, kMiB), 0);
  EXPECT_EQ(code("x", 2 * kMiB, kMiB), EINVAL);
  EXPECT_EQ(code("x", 0, ~uint64_t{0}), EINVAL);
}

TEST(Memory, CreateForgetsWhatTheFileHeld) {
  const std::unique_ptr<Memory> old = make_memory(kMiB, 8 * kMiB);
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(old->allocate(5000));
  Result<std::unique_ptr<Memory>> made =
      Memory::create(sys::dup_cloexec(old->file()).take(), "new", 0, 4 * kMiB);
  ASSERT_TRUE(made) << made.error().text();
  EXPECT_EQ((*made)->blocks(), 0u);
  EXPECT_EQ(check_text(**made), "");
}

TEST(Memory, NotARegion) {
  UniqueFd file = Memory::new_file("t").take();
  EXPECT_EQ(Memory::attach(sys::dup_cloexec(file).take()).error().code, EPROTO);
  ASSERT_TRUE(sys::ftruncate(file, kMiB));
  EXPECT_EQ(Memory::attach(sys::dup_cloexec(file).take()).error().code, EPROTO);
  EXPECT_EQ(Memory::attach(sys::memfd_create("t", 0).take()).error().code, EPERM);
  EXPECT_EQ(Memory::attach(sys::pipe().take().read).error().code, EINVAL);
}

TEST(Memory, WrongOffsetsAreRefusedAndChangeNothing) {
  const std::unique_ptr<Memory> memory = make_memory(0, 64 * kMiB);
  const uint64_t small = *memory->allocate(40);
  const uint64_t medium = *memory->allocate(20'000);
  const uint64_t large = *memory->allocate(200'000);
  EXPECT_TRUE(memory->free(0));
  for (const uint64_t wrong : {small + 16, small - 1, medium + 64, medium + 65'536, large + 16,
                               large + 65'536, uint64_t{64}, memory->size(), ~uint64_t{0}}) {
    EXPECT_EQ(memory->free(wrong).error().code, EINVAL) << wrong;
    EXPECT_EQ(memory->usable(wrong), 0u) << wrong;
  }
  EXPECT_EQ(memory->usable(small), 48u);
  EXPECT_EQ(memory->usable(medium), 20'480u);
  EXPECT_EQ(memory->usable(large), 262'144u);
  for (const uint64_t offset : {small, medium, large}) {
    EXPECT_TRUE(memory->free(offset));
    EXPECT_EQ(memory->free(offset).error().code, EINVAL);
    EXPECT_EQ(memory->usable(offset), 0u);
  }
  EXPECT_TRUE(memory->consistent());
  EXPECT_EQ(check_text(*memory), "");
  EXPECT_EQ(memory->set_root(8).error().code, EINVAL);
  EXPECT_EQ(memory->set_root(memory->size()).error().code, EINVAL);
}

TEST(Memory, TheEpochNestsAndIsOddInside) {
  const std::unique_ptr<Memory> memory = make_memory(0, 64 * kMiB);
  EXPECT_TRUE(memory->consistent());
  memory->enter();
  memory->enter();
  EXPECT_FALSE(memory->consistent());
  EXPECT_TRUE(memory->allocate(100));  // our own change: goes on
  memory->leave();
  EXPECT_FALSE(memory->consistent());
  EXPECT_EQ(memory->repaired().error().code, EBUSY);
  memory->leave();
  EXPECT_TRUE(memory->consistent());
  memory->leave();  // one too many
  EXPECT_TRUE(memory->consistent());
}

TEST(Memory, FoundOddItIsReadButNotChangedBeforeTheRepair) {
  const std::unique_ptr<Memory> memory = make_memory(0, 64 * kMiB);
  const uint64_t offset = *memory->allocate(100);
  fill(memory->base() + offset, 100, 3);
  memory->enter();  // and dies
  const std::unique_ptr<Memory> next = attach_again(*memory);
  ASSERT_TRUE(next->make_writable());
  EXPECT_FALSE(next->consistent());
  EXPECT_TRUE(is_filled(next->base() + offset, 100, 3));
  EXPECT_EQ(next->allocate(100).error().code, EUCLEAN);
  EXPECT_EQ(next->free(offset).error().code, EUCLEAN);
  next->enter();
  EXPECT_EQ(next->allocate(100).error().code, EUCLEAN);
  next->leave();
  EXPECT_FALSE(next->consistent());
  ASSERT_TRUE(next->repaired());
  EXPECT_TRUE(next->consistent());
  EXPECT_TRUE(next->free(offset));

  next->enter();
  const_cast<abi::MemoryHeader&>(header_of(*next)).blocks += 1;
  const std::unique_ptr<Memory> damaged = attach_again(*next);
  ASSERT_TRUE(damaged->make_writable());
  EXPECT_EQ(damaged->repaired().error().code, EUCLEAN);
  EXPECT_FALSE(damaged->consistent());
}

TEST(Memory, GrowthCanBeForbidden) {
  const std::unique_ptr<Memory> memory = make_memory(4 * kMiB, 64 * kMiB);
  memory->forbid_growth(true);
  const uint64_t size = memory->size();
  const uint64_t held = held_by_system(*memory);
  EXPECT_EQ(memory->allocate(8 * kMiB).error().code, EBUSY);
  const uint64_t offset = *memory->allocate(2 * kMiB);  // what is there can be had
  ASSERT_TRUE(memory->free(offset));
  EXPECT_EQ(memory->size(), size);
  EXPECT_EQ(held_by_system(*memory), held);
  EXPECT_TRUE(memory->consistent());
  memory->forbid_growth(false);
  EXPECT_TRUE(memory->allocate(8 * kMiB));
}

TEST(Memory, LargeBlocksAreGivenBackAndHadAgain) {
  const std::unique_ptr<Memory> memory = make_memory(0, 256 * kMiB);
  const uint64_t offset = *memory->allocate(64 * kMiB);
  memset(memory->base() + offset, 1, 64 * kMiB);
  EXPECT_GE(held_by_system(*memory), 64 * kMiB);
  ASSERT_TRUE(memory->free(offset));
  EXPECT_LE(held_by_system(*memory), 4 * kMiB);
  const uint64_t size = memory->size();
  ASSERT_TRUE(memory->allocate(32 * kMiB));
  EXPECT_EQ(memory->size(), size);
  EXPECT_GE(held_by_system(*memory), 32 * kMiB);  // before it is touched
  EXPECT_EQ(check_text(*memory), "");
}

TEST(Memory, AFullSystemIsAnErrorAndLeavesItWhole) {
  const std::unique_ptr<Memory> memory = make_memory(0, 256 * kMiB);
  const uint64_t large = *memory->allocate(8 * kMiB);
  ASSERT_TRUE(memory->free(large));  // a hole now
  for (const char* fault : {"sys.fallocate:1=ENOSPC", "sys.fallocate:2=ENOMEM"}) {
    ASSERT_TRUE(arm_faults(fault));
    const Result<uint64_t> refilled = memory->allocate(4 * kMiB);
    if (refilled) {
      ASSERT_TRUE(memory->free(*refilled));
    }
    static_cast<void>(arm_faults(""));
    EXPECT_TRUE(memory->consistent());
    EXPECT_EQ(check_text(*memory), "");
  }
  ASSERT_TRUE(arm_faults("sys.fallocate:0=ENOSPC"));
  const Result<uint64_t> refused = memory->allocate(100 * kMiB);
  const Result<uint64_t> also = memory->allocate(4 * kMiB);
  ASSERT_TRUE(arm_faults(""));
  EXPECT_EQ(refused.error().code, ENOSPC);
  EXPECT_EQ(also.error().code, ENOSPC);
  EXPECT_EQ(check_text(*memory), "");
  EXPECT_TRUE(memory->allocate(100 * kMiB));
}

TEST(Memory, WhatTheKernelPreservesCantGrowAndSaysWhy) {
  const std::unique_ptr<Memory> memory = make_memory(0, 256 * kMiB);
  ASSERT_TRUE(arm_faults("sys.fallocate:0=EPERM"));
  const Result<uint64_t> refused = memory->allocate(100 * kMiB);
  ASSERT_TRUE(arm_faults(""));
  EXPECT_EQ(refused.error().code, EBUSY);
  EXPECT_NE(refused.error().text().find("for an update of the kernel"), std::string::npos);
  ASSERT_TRUE(sys::add_seals(memory->file(), F_SEAL_GROW));
  EXPECT_EQ(memory->allocate(100 * kMiB).error().code, EPERM) << "its own seal";
}

TEST(Memory, PopulateChangesNoByteAndFillsNoHole) {
  const std::unique_ptr<Memory> memory = make_memory(0, 0);
  const uint64_t keep = *memory->allocate(8 * kMiB);
  const uint64_t hole = *memory->allocate(32 * kMiB);
  ASSERT_TRUE(memory->free(hole));
  fill(memory->base() + keep, 8 * kMiB, 9);
  const uint64_t held = held_by_system(*memory);
  const std::unique_ptr<Memory> next = attach_again(*memory);
  ASSERT_TRUE(next->populate());
  EXPECT_EQ(held_by_system(*memory), held);
  EXPECT_TRUE(is_filled(next->base() + keep, 8 * kMiB, 9));
  EXPECT_EQ(check_text(*memory), "");
  EXPECT_EQ(lseek(memory->file().get(), 0, SEEK_CUR), 0);
}

struct Item {
  OffsetPtr<Item> next;
  OffsetPtr<const char> text;
};

TEST(OffsetPtr, MeansTheSameAtAnotherAddress) {
  const std::unique_ptr<Memory> memory = make_memory(0, kMiB);
  const auto make = [&] {
    std::byte* at = memory->base() + *memory->allocate(sizeof(Item));
    return new (at) Item();
  };
  Item* first = make();
  Item* second = make();
  EXPECT_FALSE(first->next);
  EXPECT_TRUE(first->next == nullptr);
  first->next = second;
  second->next = first;
  ASSERT_TRUE(memory->set_root(
      static_cast<uint64_t>(reinterpret_cast<std::byte*>(first) - memory->base())));
  const std::unique_ptr<Memory> elsewhere = attach_again(*memory);
  const Item* found = reinterpret_cast<const Item*>(elsewhere->base() + elsewhere->root());
  ASSERT_TRUE(found->next);
  EXPECT_NE(found->next.get(), second);
  EXPECT_EQ(found->next->next.get(), found);
  EXPECT_EQ((*found->next).next, found);
}

TEST(OffsetPtr, CopiesPointAtTheSame) {
  int values[2] = {1, 2};
  OffsetPtr<int> a = &values[0];
  OffsetPtr<int> b = a;
  const OffsetPtr<const int> c = a;
  EXPECT_EQ(b.get(), values);
  EXPECT_EQ(*c, 1);
  EXPECT_EQ(b[1], 2);
  EXPECT_TRUE(a == b);
  b = nullptr;
  EXPECT_TRUE(b == nullptr);
  EXPECT_TRUE(a != b);
  OffsetPtr<int> none = b;
  EXPECT_EQ(none.get(), nullptr);
  const OffsetPtr<int>& itself = a;
  a = itself;
  EXPECT_EQ(a.get(), values);
}

TEST(MemoryApi, TheWholeWayInC) {
  const int fd = memfd_create("t", MFD_ALLOW_SEALING | MFD_CLOEXEC);
  outlive_memory* memory = nullptr;
  ASSERT_EQ(outlive_memory_from_fd(fd, "api", kMiB, 8 * kMiB, 1, &memory), 0) << outlive_error();
  EXPECT_STREQ(outlive_memory_name(memory), "api");
  EXPECT_EQ(outlive_memory_fd(memory), fd);
  const outlive_offset offset = outlive_memory_allocate(memory, 1000);
  ASSERT_NE(offset, 0u);
  EXPECT_EQ(outlive_memory_usable(memory, offset), 1024u);
  outlive_memory_enter(memory);
  outlive_memory_set_root(memory, offset);
  EXPECT_EQ(outlive_memory_consistent(memory), 0);
  outlive_memory_leave(memory);
  outlive_memory_stats stats;
  outlive_memory_stat(memory, &stats);
  EXPECT_EQ(stats.allocated, 1024u);
  EXPECT_EQ(stats.blocks, 1u);
  EXPECT_EQ(stats.size, outlive_memory_size(memory));
  EXPECT_EQ(stats.epoch % 2, 0u);
  EXPECT_EQ(outlive_memory_allocate(memory, 100 * kMiB), 0u);
  EXPECT_NE(std::string(outlive_error()).find("ENOSPC"), std::string::npos);
  EXPECT_EQ(outlive_memory_free(memory, offset + 1), -EINVAL);
  EXPECT_EQ(outlive_memory_check(memory), 0) << outlive_error();

  const int copy = dup(fd);
  outlive_memory* next = nullptr;
  ASSERT_EQ(outlive_memory_from_fd(dup(fd), "other", 0, 0, 0, &next), -EINVAL);
  ASSERT_EQ(outlive_memory_from_fd(copy, nullptr, 0, 0, 0, &next), 0) << outlive_error();
  EXPECT_EQ(outlive_memory_root(next), offset);
  EXPECT_EQ(outlive_memory_allocate(next, 1), 0u);
  EXPECT_EQ(outlive_memory_writable(next), 0);
  EXPECT_EQ(outlive_memory_free(next, offset), 0);
  outlive_memory_repaired(next);
  EXPECT_EQ(outlive_memory_consistent(next), 1);
  outlive_memory_close(next);
  outlive_memory_close(memory);
  outlive_memory_close(nullptr);
}

}  // namespace
}  // namespace outlive::client
