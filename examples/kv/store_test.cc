// The store: found again as it was left; buffers; and a repair after a crash in a change.
#include "store.h"

#include <gtest/gtest.h>

#include "test_memory.h"

namespace kv {
namespace {

class StoreTest : public testing::Test {
 protected:
  StoreTest() {
    EXPECT_TRUE(store_.create(1, 0));
    store_.set_root();
  }
  outlive::Memory memory_ = test_memory();
  Store store_{Heap(memory_.handle())};
};

TEST_F(StoreTest, TheNextOneFindsWhatWasLeft) {
  store_.table().set("key", "value", 0);
  store_.state().slots_used = 3;
  store_.slot(2).state = Slot::kOpen;
  ASSERT_TRUE(store_.append(&store_.slot(2).input, "*1\r\n$4\r\nPI"));
  Store next{Heap(memory_.handle())};
  ASSERT_EQ(next.open(), nullptr);
  EXPECT_TRUE(next.table().exists("key", 0));
  EXPECT_EQ(next.contents(next.slot(2).input), "*1\r\n$4\r\nPI");
  EXPECT_TRUE(memory_.consistent());
}

TEST_F(StoreTest, WhatIsNotOursIsRefused) {
  const outlive::Memory empty = test_memory();
  Store none{Heap(empty.handle())};
  EXPECT_STREQ(none.open(), "memory without a root");
  store_.state().compatible[3] = 'X';
  EXPECT_STREQ(Store(Heap(memory_.handle())).open(), "memory of another format");
  store_.state().compatible[3] = kStateCompatible[3];
  store_.state().table = memory_.size();
  EXPECT_STREQ(Store(Heap(memory_.handle())).open(), "table or slots outside the memory");
}

TEST_F(StoreTest, BuffersKeepBytesInOrderAndGiveTheirMemoryBack) {
  Buffer& buffer = store_.slot(0).output;
  std::string want;
  for (int i = 0; i < 300; ++i) {
    const std::string bytes(static_cast<size_t>(i * 7 % 501), static_cast<char>('a' + i % 26));
    ASSERT_TRUE(store_.append(&buffer, bytes));
    want += bytes;
    const size_t take = static_cast<size_t>(i) * 5 % 300;
    if (take >= want.size()) continue;
    store_.consume(&buffer, take);
    want.erase(0, take);
    ASSERT_EQ(store_.contents(buffer), want);
  }
  store_.consume(&buffer, want.size());
  EXPECT_EQ(buffer.block, 0U);
  EXPECT_TRUE(memory_.check()) << outlive_error();
}

TEST_F(StoreTest, FlushLeavesAnEmptyTable) {
  for (int i = 0; i < 2000; ++i) store_.table().set(std::to_string(i), "v", 0);
  ASSERT_TRUE(store_.flush(2));
  EXPECT_EQ(store_.table().size(), 0U);
  EXPECT_FALSE(store_.table().exists("7", 0));
  store_.table().set("7", "again", 0);
  Store next{Heap(memory_.handle())};
  ASSERT_EQ(next.open(), nullptr);
  EXPECT_EQ(next.table().size(), 1U);
}

TEST_F(StoreTest, ADeathInsideAChangeShowsAndCanBeRepaired) {
  for (int i = 0; i < 2000; ++i) store_.table().set(std::to_string(i), "v", 0);
  outlive_memory_enter(memory_.handle());  // and nobody leaves: killed here
  EXPECT_FALSE(memory_.consistent());
  const outlive::Memory fresh = test_memory();
  Store copy{Heap(fresh.handle())};
  ASSERT_TRUE(copy.create(3, 1));
  EXPECT_STREQ(Store(Heap(fresh.handle())).open(), "memory without a root")
      << "not before it is done";
  ASSERT_TRUE(copy.table().copy_from(store_.heap(), store_.state().table));
  copy.set_root();
  EXPECT_EQ(copy.table().digest("", 0), store_.table().digest("", 0));
  EXPECT_EQ(Store(Heap(fresh.handle())).open(), nullptr);
  EXPECT_TRUE(fresh.consistent());
}

TEST_F(StoreTest, ForgottenConnectionsFreeTheirSlots) {
  for (uint32_t i = 0; i < 5; ++i) {
    store_.slot(i).state = Slot::kOpen;
    store_.append(&store_.slot(i).output, "left");
  }
  store_.state().slots_used = 5;
  store_.forget_connections();
  EXPECT_EQ(store_.state().slots_used, 0U);
  EXPECT_EQ(store_.slot(4).state, Slot::kFree);
  EXPECT_EQ(store_.slot(4).output.block, 0U);
}

}  // namespace
}  // namespace kv
