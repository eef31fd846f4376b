// A crash before every store: what a killed process leaves is attached by the next one, which must
// find everything acknowledged, nothing half done, and no page lost.
#include <functional>
#include <random>

#include "kho/arena_test.h"
#include "kho/ranges.h"
#include "kho/reserve_mem.h"
#include "kho/scattered.h"

namespace outlive::kho {
namespace {

// Runs `action`, takes a copy before each of its stores (and one after the last), and calls `check`
// with each one attached.
void crash_everywhere(const Arena& arena, const std::function<void()>& action,
                      const std::function<void(Arena&)>& check) {
  std::vector<UniqueFd> left;
  set_store_hook([&](std::byte*, size_t) { left.push_back(snapshot(arena.view())); });
  action();
  set_store_hook({});
  left.push_back(snapshot(arena.view()));
  ASSERT_GT(left.size(), 2u);
  for (size_t i = 0; i < left.size(); ++i) {
    SCOPED_TRACE(fmt::format("crash before store {} of {}", i, left.size() - 1));
    Result<std::unique_ptr<Arena>> next = Arena::attach(left[i]);
    ASSERT_TRUE(next) << next.error().text();
    expect_consistent(**next);
    check(**next);
    // And a second time: the first attach left nothing to do.
    next->reset();
    AttachReport report;
    next = Arena::attach(left[i], &report);
    ASSERT_TRUE(next) << next.error().text();
    EXPECT_EQ(report.reclaimed_folios, 0u);
    EXPECT_EQ(report.tracker_corrections, 0u);
    if (testing::Test::HasFailure()) return;
  }
}

// Folios of the user, by how many pages they have: whole, or not there.
uint64_t user_pages(const Arena& arena) {
  uint64_t pages = 0;
  arena.for_each_live([&](Phys, unsigned order, uint16_t owner, uint32_t) {
    if (owner == kUser) pages += order_pages(order);
  });
  EXPECT_EQ(arena.pages_of(kUser), pages);  // no INTENT is left
  return pages;
}

TEST(Crash, AllocPreserve) {
  TestArena t = TestArena::make();
  const Phys old = t->alloc_preserve(4096, kUser).take();
  std::memset(t->at(old, 4096), 0x11, 4096);
  for (const uint64_t bytes : {uint64_t{4096}, uint64_t{5 * 4096}, uint64_t{4 << 20}}) {
    Phys made;
    crash_everywhere(
        *t, [&] { made = t->alloc_preserve(bytes, kUser).take(); },
        [&](Arena& next) {
          EXPECT_EQ(*next.at(Phys{old.value + 4095}, 1), std::byte{0x11});
          const uint64_t pages = user_pages(next);
          EXPECT_TRUE(pages == 1 || pages == 1 + order_pages(order_for(bytes))) << pages;
        });
    t->free(made);
  }
}

TEST(Crash, Free) {
  TestArena t = TestArena::make();
  const Phys old = t->alloc_preserve(4096, kUser).take();
  for (const unsigned order : {0u, 3u, 9u}) {
    const Phys folio = t->alloc_preserve(order_bytes(order), kUser).take();
    std::memset(t->at(folio, order_bytes(order)), 0xdd, order_bytes(order));
    crash_everywhere(
        *t, [&] { t->free(folio); },
        [&](Arena& next) {
          EXPECT_TRUE(next.is_live(old, kUser));
          const bool whole = next.is_live(folio, kUser);
          EXPECT_EQ(user_pages(next), whole ? 1 + order_pages(order) : 1);
          if (whole) {
            const std::byte* bytes = next.at(folio, order_bytes(order));
            for (uint64_t i = 0; i < order_bytes(order); i += 512) {
              ASSERT_EQ(bytes[i], std::byte{0xdd});
            }
          }
        });
  }
}

TEST(Crash, PreserveUnpreserve) {
  TestArena t = TestArena::make();
  const Phys folio = t->alloc(2, kUser).take();
  crash_everywhere(
      *t, [&] { EXPECT_TRUE(t->preserve(folio)); },
      [&](Arena& next) { EXPECT_EQ(user_pages(next), next.is_live(folio, kUser) ? 4u : 0u); });
  crash_everywhere(
      *t, [&] { EXPECT_TRUE(t->unpreserve(folio)); },
      [&](Arena& next) { EXPECT_EQ(user_pages(next), next.is_live(folio, kUser) ? 4u : 0u); });
}

TEST(Crash, Subtrees) {
  TestArena t = TestArena::make();
  RootFdt root(*t);
  const std::vector<std::byte> one(5000, std::byte{1});
  const std::vector<std::byte> two(100, std::byte{2});
  ASSERT_TRUE(root.add_subtree_blob("kept", one));
  // The named blob is there as a whole, and there is no other one.
  const auto check = [&](Arena& next, const std::string& name) {
    RootFdt its(next);
    ASSERT_TRUE(its.find_subtree("kept"));
    uint64_t named = 0;
    for (const RootFdt::Entry& entry : its.list()) {
      const std::vector<std::byte>& blob = entry.size == one.size() ? one : two;
      ASSERT_EQ(entry.size, blob.size());
      EXPECT_EQ(std::memcmp(next.at(entry.data, entry.size), blob.data(), blob.size()), 0);
      EXPECT_TRUE(entry.name == "kept" || entry.name == name);
      named += next.folio(entry.data)->pages();
    }
    EXPECT_EQ(next.pages_of(abi::kOwnerSubtree), named);
  };
  crash_everywhere(
      *t, [&] { EXPECT_TRUE(root.add_subtree_blob("new", two)); },
      [&](Arena& next) { check(next, "new"); });
  crash_everywhere(
      *t, [&] { EXPECT_TRUE(root.replace_subtree_blob("new", one)); },
      [&](Arena& next) {
        check(next, "new");
        EXPECT_TRUE(RootFdt(next).find_subtree("new"));
      });
  crash_everywhere(
      *t, [&] { EXPECT_TRUE(root.remove_subtree_blob("new")); },
      [&](Arena& next) { check(next, "new"); });
}

TEST(Crash, RangesAndSplits) {
  TestArena t = TestArena::make();
  const Phys folio = t->alloc(4, kUser).take();
  std::memset(t->at(folio, 16 * 4096), 0xaa, 16 * 4096);
  crash_everywhere(
      *t,
      [&] {
        EXPECT_TRUE(preserve_range(*t, Phys{folio.value + 3 * 4096}, 10));
        EXPECT_TRUE(unpreserve_range(*t, Phys{folio.value + 3 * 4096}, 10));
        t->join(folio, 4);
      },
      [&](Arena& next) { EXPECT_LE(user_pages(next), 10u); });
  crash_everywhere(
      *t, [&] { EXPECT_TRUE(alloc_range(*t, 11, kUser)); },
      [&](Arena& next) { EXPECT_EQ(user_pages(next), 0u); });
}

TEST(Crash, Scattered) {
  TestArena t = TestArena::make();
  std::vector<Phys> folios;
  for (int i = 0; i < 8; ++i) folios.push_back(t->alloc(0, kUser).take());
  const abi::ScatteredMemory memory = preserve_scattered(*t, folios, 0, kUser + 1).take();
  crash_everywhere(
      *t, [&] { EXPECT_TRUE(unpreserve_scattered(*t, memory)); },
      [&](Arena& next) { EXPECT_LE(user_pages(next), 8u); });
}

TEST(Crash, ReserveMem) {
  TestArena t = TestArena::make();
  ReserveMem memory = ReserveMem::open(*t).take();
  ASSERT_TRUE(memory.reserve("kept", 4096));
  const auto check = [](Arena& next) {
    ReserveMem its = ReserveMem::open(next).take();
    EXPECT_TRUE(its.find("kept"));
    uint64_t pages = 0;
    for (const auto& region : its.list()) pages += next.folio(region.start)->pages();
    EXPECT_EQ(next.pages_of(abi::kOwnerReserveMem), pages);
    expect_consistent(next);
  };
  crash_everywhere(
      *t, [&] { EXPECT_TRUE(memory.reserve("new", 9000)); }, check);
  crash_everywhere(
      *t, [&] { EXPECT_TRUE(memory.release("new")); }, check);
}

// Attach itself is killed, too.
TEST(Crash, Attach) {
  TestArena t = TestArena::make();
  const Phys kept = t->alloc_preserve(4096, kUser).take();
  ASSERT_TRUE(t->alloc(3, kUser));
  const Phys cut = t->alloc(4, kUser).take();
  ASSERT_TRUE(preserve_range(*t, Phys{cut.value + 4096}, 5));
  ASSERT_TRUE(t->alloc_preserve(1, abi::kOwnerSubtree));  // named by nothing
  const ImageFacts facts = check_image(t->view()).take();
  for (const TrackerWalk::Leaf& leaf : facts.walk.leaves) {
    std::memset(t->at(Phys::of_page(leaf.page), 4096), 0, 4096);
  }
  const uint64_t expected = user_pages(*Arena::attach(snapshot(t->view())).take());
  EXPECT_EQ(expected, 6u);
  std::unique_ptr<Arena> next;
  crash_everywhere(
      *t, [&] { next = Arena::attach(t.file).take(); },
      [&](Arena& after) {
        EXPECT_TRUE(after.is_live(kept, kUser));
        EXPECT_EQ(user_pages(after), expected);
        EXPECT_EQ(after.pages_of(abi::kOwnerSubtree), 0u);
      });
}

// Random work with a crash now and then: the model is what was acknowledged.
TEST(Crash, RandomWork) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  TestArena t = TestArena::make();
  std::vector<Phys> live;
  uint64_t until_crash = 0;
  UniqueFd left;
  size_t known = 0;
  for (int round = 0; round < 60; ++round) {
    left.reset();
    until_crash = 1 + random() % 120;
    set_store_hook([&](std::byte*, size_t) {
      if (left.valid() || --until_crash > 0) return;
      left = snapshot(t->view());
      known = live.size();
    });
    Phys freeing;
    while (!left.valid()) {
      freeing = {};
      if (random() % 2 == 0 || live.empty()) {
        Result<Phys> folio =
            t->alloc_preserve(order_bytes(static_cast<unsigned>(random() % 3)), kUser);
        if (!left.valid() && folio) live.push_back(*folio);
      } else {
        std::swap(live[random() % live.size()], live.back());
        freeing = live.back();
        live.pop_back();
        t->free(freeing);
      }
    }
    set_store_hook({});
    ASSERT_EQ(live.size(), known);
    t.arena.reset();
    t.file = std::move(left);
    t.arena = Arena::attach(t.file).take();
    expect_consistent(*t);
    std::vector<Phys> found;
    t->for_each_live([&](Phys p, unsigned, uint16_t, uint32_t) { found.push_back(p); });
    for (const Phys p : live) ASSERT_TRUE(t->is_live(p, kUser));
    // The one that was in work is there or not; nothing else is.
    ASSERT_LE(found.size(), live.size() + 1);
    live = found;
    if (testing::Test::HasFailure()) return;
  }
}

}  // namespace
}  // namespace outlive::kho
