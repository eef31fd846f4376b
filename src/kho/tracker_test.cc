#include "kho/tracker.h"

#include <random>

#include "kho/arena_test.h"

namespace outlive::kho {
namespace {

ImageFacts facts_of(const Arena& arena) {
  return check_image(arena.view()).take();
}

// The kernel's geometry, from its own words: key, and which entry of which level leads to it.
TEST(Tracker, KernelLayout) {
  EXPECT_EQ(abi::tracker_key(0x5000, 0), (uint64_t{1} << 52) | 5);
  EXPECT_EQ(abi::tracker_key(0x200000, 9), (uint64_t{1} << 43) | 1);
  TestArena t = TestArena::make();
  const Phys folio = t->alloc_preserve(4096, kUser).take();
  const uint64_t key = abi::tracker_key(folio.value, 0);
  const View view = t->view();
  uint64_t node = view.header()->tracker_root;
  for (const unsigned shift : {51u, 42u, 33u, 24u, 15u}) {
    node = *view.object<uint64_t>(Phys{node + (key >> shift & 511) * 8});
    ASSERT_NE(node, 0u);
  }
  EXPECT_EQ(*view.object<uint64_t>(Phys{node + (key & 0x7fff) / 64 * 8}),
            uint64_t{1} << (key & 63));
}

TEST(Tracker, EmptiedNodesAreFreedButTheRoot) {
  TestArena t = TestArena::make(uint64_t{1} << 30);
  std::vector<Phys> folios;
  for (unsigned order = 0; order < 10; ++order) {
    folios.push_back(t->alloc_preserve(order_bytes(order), kUser).take());
  }
  EXPECT_GT(t->pages_of(abi::kOwnerTracker), 10u);
  for (const Phys folio : folios) {
    ASSERT_TRUE(t->unpreserve(folio));
    expect_consistent(*t);
  }
  EXPECT_EQ(t->pages_of(abi::kOwnerTracker), 1u);
}

TEST(Tracker, RandomAgainstDescriptors) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  TestArena t = TestArena::make(256 << 20);
  std::vector<Phys> live;
  for (int step = 0; step < 3000; ++step) {
    if (random() % 5 < 3 || live.empty()) {
      Result<Phys> folio =
          t->alloc_preserve(order_bytes(static_cast<unsigned>(random() % 6)), kUser);
      if (folio) live.push_back(*folio);
    } else {
      std::swap(live[random() % live.size()], live.back());
      t->free(live.back());
      live.pop_back();
    }
    if (step % 200 == 0) {
      const ImageFacts facts = facts_of(*t);
      ASSERT_EQ(tracker_difference(t->view(), facts.walk, facts.expected), 0u);
      ASSERT_EQ(facts.live_folios, live.size());
    }
    if (step % 1000 == 999) {
      EXPECT_EQ(t.reattach().tracker_corrections, 0u);
    }
  }
  expect_consistent(*t);
}

TEST(Tracker, WalkRefusesWhatIsNotATree) {
  TestArena t = TestArena::make();
  ASSERT_TRUE(t->alloc_preserve(4096, kUser));
  const uint64_t root = t->header().tracker_root;
  uint64_t* words = t->object<uint64_t>(Phys{root});
  uint64_t* used = words;
  while (*used == 0) ++used;
  const uint64_t child = *used;
  const Phys folio = t->alloc(0, kUser).take();
  for (const uint64_t bad :
       {root, child + 8, child | uint64_t{1} << 50, folio.value, uint64_t{4096}}) {
    *used = bad;
    Result<ImageFacts> facts = check_image(t->view());
    ASSERT_FALSE(facts) << bad;
    EXPECT_EQ(facts.error().code, EUCLEAN);
  }
  *used = child;
  words[used == words ? 1 : 0] = child;  // the same page from two places
  EXPECT_EQ(check_image(t->view()).error().code, EUCLEAN);
}

// A tracker that disagrees with the descriptors is put right, bit by bit and page by page.
TEST(Tracker, AttachCorrects) {
  TestArena t = TestArena::make();
  std::vector<Phys> folios;
  for (int i = 0; i < 5; ++i) folios.push_back(t->alloc_preserve(4096, kUser).take());
  folios.push_back(t->alloc_preserve(3 * 4096, kUser).take());
  const ImageFacts facts = facts_of(*t);
  ASSERT_EQ(facts.walk.leaves.size(), 2u);
  for (const TrackerWalk::Leaf& leaf : facts.walk.leaves) {
    uint64_t* words = t->object<uint64_t>(Phys::of_page(leaf.page));
    for (uint64_t i = 0; i < kBitmapWords; ++i) words[i] = 0;
    words[100] = 0x3;  // nobody's
  }
  EXPECT_EQ(t.reattach().tracker_corrections, 5u + 1 + 2 + 2);
  expect_consistent(*t);
  // The whole tree but the root is gone: it grows again, and the old pages are given back.
  uint64_t* root = t->object<uint64_t>(Phys{t->header().tracker_root});
  for (uint64_t i = 0; i < 512; ++i) root[i] = 0;
  EXPECT_EQ(t.reattach().tracker_corrections, 6u);
  expect_consistent(*t);
  for (const Phys folio : folios) t->free(folio);
  expect_consistent(*t);
}

}  // namespace
}  // namespace outlive::kho
