#include "kho/blocks.h"

#include "kho/arena_test.h"

namespace outlive::kho {
namespace {

struct Entry {
  uint64_t number;
  char text[40];
};

Phys write_entries(Arena& arena, uint64_t count) {
  BlockWriter writer(arena, kUser, sizeof(Entry));
  for (uint64_t i = 0; i < count; ++i) {
    Entry entry{.number = i, .text = "entry"};
    EXPECT_TRUE(writer.append(entry));
  }
  EXPECT_EQ(writer.count(), count);
  return writer.commit().take();
}

Result<std::vector<uint64_t>> read_numbers(const Arena& arena, Phys first,
                                           uint64_t most = 1 << 20) {
  std::vector<uint64_t> numbers;
  TRY(read_blocks(arena, kUser, first, sizeof(Entry), most,
                  [&](std::span<const std::byte> bytes) -> Status {
                    Entry entry;
                    std::memcpy(&entry, bytes.data(), sizeof(entry));
                    numbers.push_back(entry.number);
                    return {};
                  }));
  return numbers;
}

TEST(Blocks, RoundTrip) {
  const size_t capacity = block_capacity(sizeof(Entry));
  for (const uint64_t count :
       {uint64_t{0}, uint64_t{1}, uint64_t{capacity}, uint64_t{capacity + 1}, uint64_t{1000}}) {
    TestArena t = TestArena::make();
    const uint64_t used = t->used_pages();
    const Phys first = write_entries(*t, count);
    EXPECT_EQ(first.valid(), count > 0);
    t.reattach();
    const std::vector<uint64_t> numbers = read_numbers(*t, first).take();
    ASSERT_EQ(numbers.size(), count);
    for (uint64_t i = 0; i < count; ++i) EXPECT_EQ(numbers[i], i);
    ASSERT_TRUE(free_blocks(*t, kUser, first, sizeof(Entry)));
    EXPECT_EQ(t->used_pages(), used);
    expect_consistent(*t);
  }
}

TEST(Blocks, HostileChains) {
  TestArena t = TestArena::make();
  const Phys first = write_entries(*t, 300);
  const Phys foreign = t->alloc_preserve(4096, kUser + 1).take();
  uint64_t* words = t->object<uint64_t>(first);
  EXPECT_EQ(read_numbers(*t, first, 299).error().code, EUCLEAN);
  for (const uint64_t next :
       {first.value, first.value + 8, uint64_t{4096}, ~uint64_t{0}, t->size(), foreign.value}) {
    const uint64_t old = std::exchange(words[0], next);
    EXPECT_EQ(read_numbers(*t, first).error().code, EUCLEAN);
    EXPECT_EQ(free_blocks(*t, kUser, first, sizeof(Entry)).error().code, EUCLEAN);
    words[0] = old;
  }
  for (const uint64_t count : {uint64_t{block_capacity(sizeof(Entry)) + 1}, ~uint64_t{0}}) {
    const uint64_t old = std::exchange(words[1], count);
    EXPECT_EQ(read_numbers(*t, first).error().code, EUCLEAN);
    words[1] = old;
  }
  EXPECT_EQ(read_numbers(*t, first)->size(), 300u);
}

TEST(Blocks, NthFailureChangesNothing) {
  TestArena t = TestArena::make();
  for (const char* name : {"kho.alloc", "kho.preserve"}) {
    for (int n = 0;; ++n) {
      const std::string before = structure(*t);
      bool fired = false;
      bool failed = false;
      Phys first;
      {
        FailNth fail(name, n);
        BlockWriter writer(*t, kUser, sizeof(Entry));
        Entry entry{};
        for (int i = 0; i < 300 && !failed; ++i) failed = !writer.append(entry);
        if (!failed) {
          Result<Phys> committed = writer.commit();
          failed = !committed;
          if (committed) first = *committed;
        }
        fired = fail.fired(n);
      }
      ASSERT_EQ(failed, fired);
      if (!fired) {
        EXPECT_GT(n, 3);
        ASSERT_TRUE(free_blocks(*t, kUser, first, sizeof(Entry)));
        break;
      }
      ASSERT_EQ(structure(*t), before) << name << " " << n;
      expect_consistent(*t);
    }
  }
}

}  // namespace
}  // namespace outlive::kho
