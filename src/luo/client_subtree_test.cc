#include "luo/client_subtree.h"

#include "luo/luo_test.h"

namespace outlive::luo {
namespace {

int code_of(const Status& status) {
  return status ? 0 : status.error().code;
}

TEST(ClientSubtree, AddReplaceFindRemove) {
  LuoWorld w;
  const uint64_t used = w.arena->used_pages();
  ASSERT_TRUE(w.add_subtree("note", "one"));
  EXPECT_EQ(w.subtree("note"), "one");
  EXPECT_EQ(w.subtree("note", {.uid = 1}), "(none)");
  ASSERT_TRUE(w.add_subtree("note", std::string(9000, 'x')));
  EXPECT_EQ(w.subtree("note"), std::string(9000, 'x'));
  EXPECT_EQ(w.core->subtrees().size(), 1u);
  ASSERT_TRUE(w.add_subtree("empty", ""));
  EXPECT_EQ(w.subtree("empty"), "");
  ASSERT_TRUE(w.reattach());
  EXPECT_EQ(w.subtree("note"), std::string(9000, 'x'));
  EXPECT_EQ(w.core->subtrees().size(), 2u);
  ASSERT_TRUE(w.remove_subtree("note"));
  ASSERT_TRUE(w.remove_subtree("empty"));
  EXPECT_EQ(code_of(w.remove_subtree("note")), ENOENT);
  EXPECT_EQ(w.arena->pages_of(abi::kOwnerClients), 0u);
  EXPECT_EQ(w.arena->used_pages(), used + 1) << "one pool page, nothing else";
}

TEST(ClientSubtree, Errors) {
  LuoWorld w;
  w.limits.subtrees = 2;
  w.limits.subtree_bytes = 20000;
  ASSERT_TRUE(w.reattach());
  EXPECT_EQ(code_of(w.add_subtree("", "x")), EINVAL);
  EXPECT_EQ(code_of(w.add_subtree("a", std::string(abi::kMaxSubtreeBytes + 1, 'x'))), E2BIG);
  ASSERT_TRUE(w.add_subtree("a", std::string(12000, 'x')));
  EXPECT_EQ(code_of(w.add_subtree("b", std::string(9000, 'x'))), EDQUOT);
  EXPECT_TRUE(w.add_subtree("a", std::string(16000, 'y'))) << "what it replaces is not counted";
  ASSERT_TRUE(w.add_subtree("b", "x"));
  EXPECT_EQ(code_of(w.add_subtree("c", "x")), EDQUOT);
  EXPECT_TRUE(w.add_subtree("c", "x", {.uid = 1}));
  EXPECT_EQ(code_of(w.remove_subtree("c")), ENOENT) << "another uid's";
  ASSERT_TRUE(w.remove_subtree("a"));
  EXPECT_TRUE(w.add_subtree("c", std::string(16000, 'y'))) << "bytes and count are given back";
}

TEST(ClientSubtree, DroppedUncommittedLeavesTheOldBytes) {
  LuoWorld w;
  ASSERT_TRUE(w.add_subtree("a", "old"));
  const std::string before = kho::structure(*w.arena);
  {
    Change change(w.core->records());
    const std::string text = "new";
    auto adding = w.core->subtrees().add(change, {}, "a", std::as_bytes(std::span(text)));
    ASSERT_TRUE(adding);
    auto other = w.core->subtrees().add(change, {}, "b", std::as_bytes(std::span(text)));
    ASSERT_TRUE(other);
  }
  {
    Change change(w.core->records());
    ASSERT_TRUE(w.core->subtrees().remove(change, {}, "a"));
  }
  EXPECT_EQ(kho::structure(*w.arena), before);
  EXPECT_EQ(w.subtree("a"), "old");
  EXPECT_EQ(w.subtree("b"), "(none)");
}

// Replacing is the old bytes or the new ones, and no folio is lost, wherever it is cut.
TEST(ClientSubtree, CrashBeforeEveryStoreOfAReplace) {
  int before = 0;
  int after = 0;
  for (int k = 0;; ++k) {
    LuoWorld w(1 << 20);
    ASSERT_TRUE(w.add_subtree("a", std::string(5000, 'o')));
    CrashAt crash(*w.arena, k);
    ASSERT_TRUE(w.add_subtree("a", std::string(6000, 'n')));
    if (!crash.image().valid()) break;
    kho::set_store_hook({});
    w.core.reset();
    w.arena.reset();
    crash.image().put(w.file);
    ASSERT_TRUE(w.reattach()) << "store " << k;
    const std::string found = w.subtree("a");
    ++(found == std::string(5000, 'o') ? before : after);
    EXPECT_TRUE(found == std::string(5000, 'o') || found == std::string(6000, 'n'));
    EXPECT_EQ(w.arena->pages_of(abi::kOwnerClients), 2u) << "store " << k;
    kho::expect_consistent(*w.arena);
  }
  EXPECT_GT(before, 3);
  EXPECT_GT(after, 3);
}

TEST(ClientSubtree, HostileRecordsAreRefused) {
  using Damage = std::function<void(abi::ClientSubtreeSlot&, const abi::ClientSubtreeSlot&)>;
  const std::vector<Damage> damages = {
      [](auto& slot, auto&) { memset(slot.name, 'x', sizeof slot.name); },
      [](auto& slot, auto&) { slot.address = 0; },
      [](auto& slot, auto&) { slot.address = 4096; },
      [](auto& slot, auto&) { slot.address = uint64_t{1} << 60; },
      [](auto& slot, auto&) { slot.size = 4097; },
      [](auto& slot, auto& other) { slot.address = other.address; },
      [](auto& slot, auto& other) { memcpy(slot.name, other.name, sizeof slot.name); },
  };
  for (size_t i = 0; i < damages.size(); ++i) {
    LuoWorld w;
    ASSERT_TRUE(w.add_subtree("a", "one"));
    ASSERT_TRUE(w.add_subtree("b", "two"));
    std::vector<abi::ClientSubtreeSlot*> slots;
    w.core->records().for_each<abi::ClientSubtreeSlot>([&](auto& slot) { slots.push_back(&slot); });
    damages[i](*slots[0], *slots[1]);
    EXPECT_EQ(code_of(w.reattach()), EUCLEAN) << i;
  }
}

}  // namespace
}  // namespace outlive::luo
