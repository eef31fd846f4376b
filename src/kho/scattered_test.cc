#include "kho/scattered.h"

#include "kho/arena_test.h"

namespace outlive::kho {
namespace {

std::vector<Phys> some_folios(const TestArena& t, size_t count, unsigned order) {
  std::vector<Phys> folios;
  for (size_t i = 0; i < count; ++i) {
    folios.push_back(t->alloc(order, kUser).take());
    *t->object<uint64_t>(folios.back()) = i;
  }
  std::swap(folios.front(), folios.back());  // not in order of address
  return folios;
}

TEST(Scattered, SurvivesOverManyChunks) {
  for (const size_t count : {1u, 511u, 512u, 1300u}) {
    TestArena t = TestArena::make(32 << 20);
    const uint64_t used = t->used_pages();
    const std::vector<Phys> folios = some_folios(t, count, 1);
    const abi::ScatteredMemory memory = preserve_scattered(*t, folios, 1, kUser, 0, 3).take();
    EXPECT_EQ(memory.total_pages, count * 2);
    EXPECT_EQ(memory.flags, 3);
    const AttachReport report = t.reattach();
    EXPECT_EQ(report.live_pages, count * 2 + (count + 510) / 511);
    EXPECT_EQ(scattered_chunks(*t, memory)->size(), (count + 510) / 511);
    EXPECT_EQ(scattered_folios(*t, memory).take(), folios);
    const std::vector<Phys> restored = restore_scattered(*t, memory).take();
    EXPECT_EQ(restored, folios);
    EXPECT_EQ(*t->object<uint64_t>(restored.front()), count - 1);
    for (const Phys folio : restored) t->free(folio);
    EXPECT_EQ(t->used_pages(), used);
    expect_consistent(*t);
  }
}

TEST(Scattered, BadRequests) {
  TestArena t = TestArena::make();
  std::vector<Phys> folios = some_folios(t, 3, 0);
  EXPECT_EQ(preserve_scattered(*t, {}, 0, kUser).error().code, EINVAL);
  EXPECT_EQ(preserve_scattered(*t, folios, 1, kUser).error().code, EINVAL);
  folios.push_back(folios[0]);  // twice
  const std::string before = structure(*t);
  EXPECT_EQ(preserve_scattered(*t, folios, 0, kUser).error().code, EINVAL);
  EXPECT_EQ(structure(*t), before);
}

TEST(Scattered, HostileChains) {
  TestArena t = TestArena::make();
  const std::vector<Phys> folios = some_folios(t, 600, 0);
  const abi::ScatteredMemory good = preserve_scattered(*t, folios, 0, kUser).take();
  uint64_t* chunk = t->object<uint64_t>(Phys{good.first});
  const auto code = [&](const abi::ScatteredMemory& memory) {
    const std::string before = structure(*t);
    Result<std::vector<Phys>> restored = restore_scattered(*t, memory);
    EXPECT_EQ(structure(*t), before);
    return restored ? 0 : restored.error().code;
  };
  abi::ScatteredMemory bad = good;
  bad.total_pages = 599;
  EXPECT_EQ(code(bad), EUCLEAN);
  bad.total_pages = UINT32_MAX;
  EXPECT_EQ(code(bad), EUCLEAN);
  bad = good;
  bad.order = 40;
  EXPECT_EQ(code(bad), EUCLEAN);
  bad = good;
  bad.first += 8;
  EXPECT_EQ(code(bad), EUCLEAN);
  for (const uint64_t next : {good.first, uint64_t{4096}, ~uint64_t{0}, folios[0].value}) {
    const uint64_t old = std::exchange(chunk[0], next);
    EXPECT_EQ(code(good), EUCLEAN);
    chunk[0] = old;
  }
  for (const uint64_t folio : {chunk[2], uint64_t{4096}, t->size(), uint64_t{0}}) {
    const uint64_t old = std::exchange(chunk[1], folio);
    EXPECT_EQ(code(good), EUCLEAN);
    chunk[1] = old;
  }
  EXPECT_TRUE(unpreserve_scattered(*t, good));
}

TEST(Scattered, NthFailureChangesNothing) {
  TestArena t = TestArena::make();
  const std::vector<Phys> folios = some_folios(t, 520, 0);
  for (const char* name : {"kho.alloc", "kho.preserve"}) {
    for (int n = 0;; n += n < 12 ? 1 : 50) {
      const std::string before = structure(*t);
      bool fired = false;
      bool failed = false;
      {
        FailNth fail(name, n);
        Result<abi::ScatteredMemory> memory = preserve_scattered(*t, folios, 0, kUser);
        failed = !memory;
        fired = fail.fired(n);
        if (memory) {
          EXPECT_TRUE(unpreserve_scattered(*t, *memory));
        }
      }
      ASSERT_EQ(failed, fired);
      if (!fired) break;
      ASSERT_EQ(structure(*t), before) << name << " " << n;
    }
  }
  expect_consistent(*t);
}

}  // namespace
}  // namespace outlive::kho
