#include "kho/ranges.h"

#include "kho/arena_test.h"

namespace outlive::kho {
namespace {

using Orders = std::vector<unsigned>;

TEST(Ranges, CutAsTheKernelDoes) {
  EXPECT_EQ(range_orders(0, 1), Orders({0}));
  EXPECT_EQ(range_orders(8, 13), Orders({3, 2, 0}));
  EXPECT_EQ(range_orders(3, 10), Orders({0, 2, 2, 0}));
  EXPECT_EQ(range_orders(uint64_t{1} << 20, uint64_t{1} << 19), Orders({18, 18}));
}

TEST(Ranges, AllocPreserveRestoreFree) {
  TestArena t = TestArena::make();
  const uint64_t free_before = t->free_pages();
  const Phys start = alloc_range(*t, 13, kUser, 5).take();
  EXPECT_EQ(t->free_pages(), free_before - 13);
  std::memset(t->at(start, 13 * 4096), 0x55, 13 * 4096);
  ASSERT_TRUE(preserve_range(*t, start, 13));
  EXPECT_EQ(t->folio(start)->order, 3u);
  EXPECT_EQ(t->folio(Phys{start.value + 8 * 4096})->order, 2u);
  EXPECT_EQ(t->folio(Phys{start.value + 12 * 4096})->tag, 5u);
  EXPECT_EQ(t.reattach().live_pages, 13u);
  EXPECT_EQ(*t->at(Phys{start.value + 13 * 4096 - 1}, 1), std::byte{0x55});
  EXPECT_EQ(unpreserve_range(*t, start, 11).error().code, EINVAL);
  ASSERT_TRUE(restore_range(*t, start, 13));
  ASSERT_TRUE(free_range(*t, start, 13));
  EXPECT_EQ(t->free_pages(), free_before);
  expect_consistent(*t);
}

TEST(Ranges, PartOfAFolioIsCut) {
  TestArena t = TestArena::make();
  const Phys folio = t->alloc(4, kUser).take();
  const Phys start{folio.value + 3 * 4096};
  ASSERT_TRUE(preserve_range(*t, start, 10));
  for (const auto& [page, order] : {std::pair{3u, 0u}, {4u, 2u}, {8u, 2u}, {12u, 0u}}) {
    const auto found = t->folio(Phys{folio.value + page * 4096});
    ASSERT_TRUE(found);
    EXPECT_TRUE(found->live());
    EXPECT_EQ(found->order, order);
  }
  EXPECT_FALSE(t->folio(folio)->live());
  ASSERT_TRUE(free_range(*t, start, 10));
  EXPECT_EQ(t.reattach().reclaimed_folios, 4u);  // 0-1, 2, 13, 14-15 were never preserved
  EXPECT_EQ(t->pages_of(kUser), 0u);
}

TEST(Ranges, BadOnes) {
  TestArena t = TestArena::make();
  const Phys folio = t->alloc(2, kUser).take();
  const std::string before = structure(*t);
  EXPECT_EQ(alloc_range(*t, 0, kUser).error().code, EINVAL);
  EXPECT_EQ(alloc_range(*t, (1 << 18) + 1, kUser).error().code, EINVAL);
  EXPECT_EQ(preserve_range(*t, folio, 0).error().code, EINVAL);
  EXPECT_EQ(preserve_range(*t, folio, 5).error().code, EINVAL);
  EXPECT_EQ(preserve_range(*t, Phys{folio.value + 1}, 1).error().code, EINVAL);
  EXPECT_EQ(preserve_range(*t, folio, ~uint64_t{0}).error().code, EINVAL);
  EXPECT_EQ(preserve_range(*t, Phys{0}, 1).error().code, EINVAL);
  EXPECT_EQ(preserve_range(*t, Phys{t->header().tracker_root}, 1).error().code, EINVAL);
  EXPECT_EQ(unpreserve_range(*t, folio, 4).error().code, EINVAL);
  EXPECT_EQ(free_range(*t, folio, 3).error().code, EINVAL);
  EXPECT_EQ(structure(*t), before);
}

TEST(Ranges, NthFailureChangesNothing) {
  TestArena t = TestArena::make();
  const Phys folio = t->alloc(5, kUser).take();
  const Phys start{folio.value + 4096};
  for (const char* name : {"kho.alloc", "kho.preserve"}) {
    for (int n = 0;; ++n) {
      const std::string before = structure(*t);
      bool fired = false;
      bool failed = false;
      {
        FailNth fail(name, n);
        failed = !preserve_range(*t, start, 29);
        fired = fail.fired(n);
      }
      ASSERT_EQ(failed, fired);
      if (!fired) {
        EXPECT_GT(n, 5);
        ASSERT_TRUE(unpreserve_range(*t, start, 29));
        t->join(folio, 5);
        break;
      }
      ASSERT_EQ(structure(*t), before) << name << " " << n;
      expect_consistent(*t);
    }
  }
}

}  // namespace
}  // namespace outlive::kho
