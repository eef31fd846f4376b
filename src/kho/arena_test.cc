#include "kho/arena_test.h"

#include <array>

namespace outlive::kho {
namespace {

TEST(Arena, AllocPreserveFree) {
  TestArena t = TestArena::make();
  const uint64_t free_before = t->free_pages();
  const Phys folio = t->alloc(3, kUser, 77).take();
  EXPECT_EQ(folio.page() % 8, 0u);
  const Folio found = t->folio(folio).value();
  EXPECT_EQ(found.order, 3u);
  EXPECT_EQ(found.owner, kUser);
  EXPECT_EQ(found.tag, 77u);
  EXPECT_EQ(found.state, abi::PageState::kIntent);
  EXPECT_EQ(t->free_pages(), free_before - 8);

  ASSERT_TRUE(t->preserve(folio));
  EXPECT_TRUE(t->is_live(folio, kUser, 8 * 4096));
  EXPECT_FALSE(t->is_live(folio, kUser, 8 * 4096 + 1));
  EXPECT_FALSE(t->is_live(folio, kUser + 1));
  EXPECT_EQ(t->folio_of(Phys{folio.value + 5 * 4096 + 9})->head, folio);
  expect_consistent(*t);
  t->free(folio);
  EXPECT_FALSE(t->folio(folio));
  EXPECT_EQ(t->free_pages(), free_before);
  expect_consistent(*t);
}

TEST(Arena, PreserveErrors) {
  TestArena t = TestArena::make();
  const Phys folio = t->alloc(1, kUser).take();
  EXPECT_EQ(t->preserve(Phys{folio.value + 1}).error().code, EINVAL);
  EXPECT_EQ(t->preserve(Phys{folio.value + 4096}).error().code, EINVAL);
  EXPECT_EQ(t->preserve(Phys{4096}).error().code, EINVAL);
  EXPECT_EQ(t->preserve(Phys{0}).error().code, EINVAL);
  EXPECT_EQ(t->preserve(Phys{t->size()}).error().code, EINVAL);
  EXPECT_EQ(t->preserve(Phys{~uint64_t{0}}).error().code, EINVAL);
  EXPECT_EQ(t->preserve(Phys{t->header().tracker_root}).error().code, EINVAL);
  EXPECT_EQ(t->unpreserve(folio).error().code, EINVAL);
  ASSERT_TRUE(t->preserve(folio));
  EXPECT_EQ(t->preserve(folio).error().code, EINVAL);
  ASSERT_TRUE(t->unpreserve(folio));
  EXPECT_EQ(t->folio(folio)->state, abi::PageState::kIntent);
  EXPECT_EQ(t->unpreserve(Phys{t->header().tracker_root}).error().code, EINVAL);
  expect_consistent(*t);
}

TEST(Arena, FreedPagesAreZeroForTheNextOne) {
  TestArena t = TestArena::make();
  for (const unsigned order : {0u, 1u, 5u, 9u, 10u}) {
    const Phys folio = t->alloc(order, kUser).take();
    std::memset(t->at(folio, order_bytes(order)), 0xee, order_bytes(order));
    t->free(folio);
    const Phys again = t->alloc(order, kUser).take();
    const std::byte* bytes = t->at(again, order_bytes(order));
    for (uint64_t i = 0; i < order_bytes(order); ++i) ASSERT_EQ(bytes[i], std::byte{0});
    t->free(again);
  }
  expect_consistent(*t);
}

TEST(Arena, EveryOrderSurvives) {
  TestArena t = TestArena::make(uint64_t{4} << 30);
  std::vector<std::pair<Phys, unsigned>> folios;
  for (unsigned order = 0; order <= 12; ++order) {
    const Phys folio = t->alloc_preserve(order_bytes(order), kUser, order).take();
    EXPECT_EQ(folio.page() % order_pages(order), 0u);
    std::memset(t->at(folio, order_bytes(order)), static_cast<int>(order + 1), 64);
    folios.push_back({folio, order});
  }
  const Phys huge = t->alloc(abi::kMaxOrder, kUser).take();  // not preserved
  EXPECT_EQ(huge.value % (1 << 30), 0u);
  const AttachReport report = t.reattach();
  EXPECT_EQ(report.live_pages, (1u << 13) - 1);
  EXPECT_EQ(report.reclaimed_folios, 1u);
  EXPECT_EQ(report.tracker_corrections, 0u);
  EXPECT_EQ(t->epoch(), 1u);
  for (const auto& [folio, order] : folios) {
    ASSERT_TRUE(t->is_live(folio, kUser, order_bytes(order)));
    EXPECT_EQ(t->folio(folio)->tag, order);
    EXPECT_EQ(*t->at(folio, 1), std::byte(order + 1));
    ASSERT_TRUE(t->restore(folio));
    t->free(folio);
  }
  EXPECT_EQ(t->pages_of(kUser), 0u);
  EXPECT_EQ(t->pages_of(abi::kOwnerTracker), 1u);
}

TEST(Arena, AllocationsNeverOverlapAndNoneIsLost) {
  TestArena t = TestArena::make(32 << 20);
  const uint64_t free_before = t->free_pages();
  std::vector<Phys> all;
  while (true) {
    Result<Phys> folio = t->alloc(all.size() % 4, kUser);
    if (!folio) {
      EXPECT_EQ(folio.error().code, ENOSPC);
      break;
    }
    std::byte* head = t->at(*folio, 4096);
    ASSERT_EQ(*head, std::byte{0});
    *head = std::byte{1};
    all.push_back(*folio);
  }
  while (Result<Phys> folio = t->alloc(0, kUser)) all.push_back(*folio);
  EXPECT_EQ(t->free_pages(), 0u);
  for (size_t i = 0; i < all.size(); i += 2) t->free(all[i]);
  for (size_t i = 1; i < all.size(); i += 2) t->free(all[i]);
  EXPECT_EQ(t->free_pages(), free_before);
  EXPECT_TRUE(t->alloc(11, kUser));  // everything was joined again
  expect_consistent(*t);
}

TEST(Arena, BadRequests) {
  TestArena t = TestArena::make();
  EXPECT_EQ(t->alloc(abi::kMaxOrder + 1, kUser).error().code, EINVAL);
  EXPECT_EQ(t->alloc(abi::kMaxOrder, kUser).error().code, ENOSPC);
  EXPECT_EQ(t->alloc_preserve(~uint64_t{0}, kUser).error().code, EINVAL);
  EXPECT_EQ(Arena::create_file(4096).error().code, EINVAL);
  EXPECT_EQ(Arena::create_file(~uint64_t{0}).error().code, EINVAL);
  EXPECT_EQ(Arena::create(t.file).error().code, EEXIST);
  expect_consistent(*t);
}

TEST(Arena, Pointers) {
  TestArena t = TestArena::make();
  const Phys folio = t->alloc(0, kUser).take();
  std::byte* bytes = t->at(folio, 4096);
  ASSERT_NE(bytes, nullptr);
  EXPECT_EQ(t->address_of(bytes + 5).value, folio.value + 5);
  EXPECT_FALSE(t->address_of(&t).valid());
  EXPECT_EQ(t->at(Phys{0}, 1), nullptr);
  EXPECT_EQ(t->at(Phys{t->size()}, 1), nullptr);
  EXPECT_EQ(t->at(Phys{folio.value}, ~uint64_t{0}), nullptr);
  EXPECT_EQ(t->at(Phys{~uint64_t{0}}, 2), nullptr);
  EXPECT_EQ(t->object<uint64_t>(Phys{folio.value + 4}), nullptr);
  EXPECT_NE(t->object<uint64_t>(Phys{folio.value + 8}), nullptr);
}

TEST(Arena, SweepFreesWhatIsNotReached) {
  TestArena t = TestArena::make();
  const Phys kept = t->alloc_preserve(100, kUser).take();
  const Phys lost = t->alloc_preserve(100, kUser).take();
  const Phys other = t->alloc_preserve(100, kUser + 1).take();
  EXPECT_EQ(t->sweep(kUser, [&](Phys p) { return p == kept; }), 1u);
  EXPECT_TRUE(t->is_live(kept, kUser));
  EXPECT_FALSE(t->folio(lost));
  EXPECT_TRUE(t->is_live(other, kUser + 1));
  expect_consistent(*t);
}

TEST(Arena, SplitAndJoin) {
  TestArena t = TestArena::make();
  const Phys folio = t->alloc(4, kUser, 9).take();
  const std::string before = structure(*t);
  EXPECT_EQ(t->split(folio, std::array{2u, 3u, 2u}).error().code, EINVAL);
  EXPECT_EQ(t->split(folio, std::array{3u}).error().code, EINVAL);
  ASSERT_TRUE(t->split(folio, std::array{3u, 2u, 2u}));
  EXPECT_EQ(t->folio(Phys{folio.value + 8 * 4096})->order, 2u);
  EXPECT_EQ(t->folio(Phys{folio.value + 12 * 4096})->tag, 9u);
  t->join(folio, 4);
  EXPECT_EQ(structure(*t), before);
}

TEST(Arena, FileThatCannotGrowIsEnospc) {
  TestArena t = TestArena::make(64 << 20);
  ASSERT_TRUE(t->alloc(0, kUser));
  FailNth fail("sys.fallocate", 0, ENOMEM);
  EXPECT_EQ(t->alloc(10, kUser).error().code, ENOSPC);
  EXPECT_TRUE(t->alloc(10, kUser));
}

// Its file grows only when who is asked has said so; what it has is used all the same, also by the
// next process, which doesn't know what that is.
TEST(Arena, AsksBeforeItsFileGrows) {
  TestArena t = TestArena::make();
  uint64_t left = 1 << 20;
  const auto ask = [&](uint64_t bytes) -> Status {
    if (bytes > left) return fail(ENOSPC, "no memory is left");
    left -= bytes;
    return {};
  };
  t->ask_before_growth(ask);
  std::vector<Phys> folios;
  Result<Phys> folio = t->alloc_preserve(order_bytes(2), kUser, 0);
  for (; folio; folio = t->alloc_preserve(order_bytes(2), kUser, 0)) folios.push_back(*folio);
  EXPECT_EQ(folio.error().code, ENOSPC);
  EXPECT_EQ(folio.error().message, "no memory is left");
  EXPECT_GE(folios.size(), 32u);
  // Not yet expect_consistent(): it reads free pages, which makes them.
  const uint64_t used = t->used_pages() + order_pages(5);
  t.reattach();
  left = 0;
  t->ask_before_growth(ask);
  for (const Phys one : folios) t->free(one);
  for (size_t i = 0; i < folios.size(); ++i) {
    ASSERT_TRUE(t->alloc_preserve(order_bytes(2), kUser, 0)) << i << " of " << folios.size();
  }
  // What is left of the last chunk, and no more.
  do folio = t->alloc_preserve(order_bytes(2), kUser, 0);
  while (folio);
  EXPECT_EQ(folio.error().code, ENOSPC);
  EXPECT_LE(t->used_pages(), used);
  expect_consistent(*t);
}

// The n-th allocation fails, for each n: nothing has changed.
TEST(Arena, FailedAllocPreserveChangesNothing) {
  TestArena t = TestArena::make();
  ASSERT_TRUE(t->alloc_preserve(1, kUser));
  for (const char* name : {"kho.alloc", "kho.preserve"}) {
    for (int n = 0;; ++n) {
      const std::string before = structure(*t);
      const uint64_t free_before = t->free_pages();
      Result<Phys> folio = Phys{};
      bool fired = false;
      {
        FailNth fail(name, n);
        folio = t->alloc_preserve(5 * 4096, kUser);
        fired = fail.fired(n);
      }
      if (!fired) {
        ASSERT_TRUE(folio);
        EXPECT_GE(n, 1);
        t->free(*folio);
        break;
      }
      ASSERT_FALSE(folio);
      EXPECT_EQ(folio.error().code, ENOMEM);
      ASSERT_EQ(structure(*t), before) << name << " " << n;
      EXPECT_EQ(t->free_pages(), free_before);
      expect_consistent(*t);
    }
  }
}

}  // namespace
}  // namespace outlive::kho
