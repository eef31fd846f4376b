#include "kho/reserve_mem.h"

#include "kho/arena_test.h"

namespace outlive::kho {
namespace {

ReserveMem open(const TestArena& t) {
  return ReserveMem::open(*t).take();
}

TEST(ReserveMem, KeepsAddressAndBytes) {
  TestArena t = TestArena::make(64 << 20);
  const uint64_t used = t->used_pages();
  ReserveMem memory = open(t);
  const auto log = memory.reserve("log", 100000).take();
  const auto big = memory.reserve("big", 5000, 2 << 20).take();
  EXPECT_EQ(big.start.value % (2 << 20), 0u);
  std::memset(t->at(log.start, 100000), 0x77, 100000);
  for (int round = 0; round < 3; ++round) {
    t.reattach();
    ReserveMem again = open(t);
    EXPECT_EQ(again.reserve("log", 100000)->start, log.start);
    EXPECT_EQ(again.find("big")->start, big.start);
    EXPECT_EQ(*t->at(Phys{log.start.value + 99999}, 1), std::byte{0x77});
  }
  ReserveMem last = open(t);
  EXPECT_EQ(last.list().size(), 2u);
  ASSERT_TRUE(last.release("log"));
  EXPECT_EQ(last.release("log").error().code, ENOENT);
  EXPECT_FALSE(last.find("log"));
  ASSERT_TRUE(last.release("big"));
  EXPECT_FALSE(RootFdt(*t).find_subtree("memblock"));
  EXPECT_EQ(t->used_pages(), used);
  expect_consistent(*t);
}

TEST(ReserveMem, AnotherSizeNamesBoth) {
  TestArena t = TestArena::make();
  ReserveMem memory = open(t);
  ASSERT_TRUE(memory.reserve("log", 8192));
  const Error error = memory.reserve("log", 4096).error();
  EXPECT_EQ(error.code, EEXIST);
  EXPECT_NE(error.message.find("8192"), std::string::npos);
  EXPECT_NE(error.message.find("4096"), std::string::npos);
  EXPECT_EQ(memory.reserve("log", 8192, 1 << 30).error().code, EEXIST);
  for (const char* name : {"", "a b", "x/y"}) {
    EXPECT_EQ(memory.reserve(name, 1).error().code, EINVAL);
  }
  EXPECT_EQ(memory.reserve("a", 0).error().code, EINVAL);
  EXPECT_EQ(memory.reserve("a", 1, 3).error().code, EINVAL);
  EXPECT_EQ(memory.reserve("a", (1 << 30) + 1).error().code, EINVAL);
  EXPECT_EQ(memory.reserve("a", 512 << 20).error().code, ENOSPC);
}

TEST(ReserveMem, NthFailureChangesNothing) {
  TestArena t = TestArena::make();
  ReserveMem memory = open(t);
  ASSERT_TRUE(memory.reserve("old", 4096));
  for (const char* name : {"kho.alloc", "kho.preserve", "kho.subtree"}) {
    for (int n = 0;; ++n) {
      const std::string before = structure(*t);
      bool fired = false;
      bool failed = false;
      {
        FailNth fail(name, n);
        failed = !memory.reserve("new", 30000);
        fired = fail.fired(n);
      }
      ASSERT_EQ(failed, fired);
      if (!fired) {
        ASSERT_TRUE(memory.release("new"));
        break;
      }
      ASSERT_EQ(structure(*t), before) << name << " " << n;
      EXPECT_FALSE(memory.find("new"));
      expect_consistent(*t);
    }
  }
}

TEST(ReserveMem, HostileSubtree) {
  TestArena t = TestArena::make();
  ReserveMem memory = open(t);
  const auto region = memory.reserve("log", 4096).take();
  ASSERT_TRUE(t->alloc_preserve(1, abi::kOwnerReserveMem));
  ReserveMem again = open(t);  // what is not named is given back
  EXPECT_EQ(t->pages_of(abi::kOwnerReserveMem), 1u);
  t->free(region.start);
  EXPECT_EQ(ReserveMem::open(*t).error().code, EUCLEAN);
}

}  // namespace
}  // namespace outlive::kho
