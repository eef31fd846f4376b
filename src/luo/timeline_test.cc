#include "luo/timeline.h"

#include "kho/arena_test.h"

namespace outlive::luo {
namespace {

TEST(Timeline, BarsPointsAndNames) {
  kho::TestArena t = kho::TestArena::make(1 << 20);
  const kho::Phys page = Timeline::make(*t, 7).take();
  Timeline line(*t, page.value);
  ASSERT_TRUE(line.valid());
  const size_t outer = line.begin("outlived", "blackout", 10);
  line.begin("old", "freeze", 11);
  line.begin("old", "freeze", 12);
  line.end("old", "freeze", 13);   // the newest open one
  line.end("old", "prepare", 14);  // no such bar: nothing
  line.point("successor", "ready", 15);
  line.end(outer, 16);
  line.begin(std::string(100, 'w'), std::string(100, 'v'), 17);
  line.end(std::string(100, 'w'), std::string(100, 'v'), 18);
  t.reattach();
  const auto entries = Timeline(*t, page.value).entries();
  ASSERT_EQ(entries.size(), 5u);
  EXPECT_EQ(entries[0].end_ns, 16u);
  EXPECT_EQ(entries[1].end_ns, 0u);
  EXPECT_EQ(entries[2].end_ns, 13u);
  EXPECT_EQ(entries[3].who, "successor");
  EXPECT_EQ(entries[3].start_ns, entries[3].end_ns);
  EXPECT_EQ(entries[4].who, std::string(23, 'w'));
  EXPECT_EQ(entries[4].end_ns, 18u);
}

TEST(Timeline, ABarIsOpenUntilItsLastOneEnds) {
  kho::TestArena t = kho::TestArena::make(1 << 20);
  Timeline line(*t, Timeline::make(*t, 7).take().value);
  EXPECT_FALSE(line.is_open("outlive kexec", "write"));
  line.point("outlive kexec", "write", 10);
  EXPECT_FALSE(line.is_open("outlive kexec", "write")) << "a point";
  line.begin("outlive kexec", "write", 11);
  line.begin("outlive kexec", "write", 12);
  EXPECT_TRUE(line.is_open("outlive kexec", "write"));
  EXPECT_FALSE(line.is_open("outlive kexec", "load")) << "another step";
  EXPECT_FALSE(line.is_open("outlived", "write")) << "somebody else's";
  line.end("outlive kexec", "write", 13);
  EXPECT_TRUE(line.is_open("outlive kexec", "write")) << "the older one";
  line.end("outlive kexec", "write", 14);
  EXPECT_FALSE(line.is_open("outlive kexec", "write"));
  EXPECT_FALSE(Timeline().is_open("outlive kexec", "write"));
}

TEST(Timeline, ABarSinceTheFirstOne) {
  kho::TestArena t = kho::TestArena::make(1 << 20);
  Timeline line(*t, Timeline::make(*t, 7).take().value, 100);  // a clock that goes on over a kexec
  EXPECT_EQ(line.bar_since_first("freeze", "outlived", "blackout", 9), 0u);
  EXPECT_TRUE(line.entries().empty());
  line.point("old", "prepare", 10);
  line.point("handlers", "freeze", 13);
  line.point("old", "freeze", 12);  // of another participant
  EXPECT_EQ(line.bar_since_first("freeze", "outlived", "blackout", 40), 28u);
  const Timeline::Entry bar = line.entries().back();
  EXPECT_EQ(bar.what, "blackout");
  EXPECT_EQ(bar.start_ns, 112u);
  EXPECT_EQ(bar.end_ns, 140u);
}

TEST(Timeline, FullPageCountsWhatIsLost) {
  kho::TestArena t = kho::TestArena::make(1 << 20);
  Timeline line(*t, Timeline::make(*t, 7).take().value);
  for (size_t i = 0; i < abi::kTimelineEntries + 3; ++i) line.point("a", "b", i + 1);
  EXPECT_EQ(line.entries().size(), abi::kTimelineEntries);
  EXPECT_EQ(line.lost(), 3u);
  EXPECT_EQ(line.begin("a", "c", 1), SIZE_MAX);
  line.end(SIZE_MAX, 5);
}

TEST(Timeline, NoPageIsNoTimelineAndNoHarm) {
  kho::TestArena t = kho::TestArena::make(1 << 20);
  const kho::Phys page = Timeline::make(*t, 7).take();
  const kho::Phys foreign = t->alloc_preserve(4096, kho::kUser).take();
  for (const uint64_t address :
       {uint64_t{0}, uint64_t{4096}, foreign.value, page.value + 8, t->size(), ~uint64_t{0}}) {
    Timeline none(*t, address);
    EXPECT_FALSE(none.valid());
    none.end(none.begin("a", "b", 1), 2);
    none.point("a", "b", 3);
    EXPECT_TRUE(none.entries().empty());
    EXPECT_EQ(none.lost(), 0u);
  }
  auto* header = t->object<abi::TimelinePage>(page);
  header->count = abi::kTimelineEntries + 1;
  EXPECT_FALSE(Timeline(*t, page.value).valid());
  header->count = 0;
  header->compatible[0] = 'x';
  EXPECT_FALSE(Timeline(*t, page.value).valid());
}

TEST(Timeline, ACrashShowsWholeEntriesOnly) {
  for (int k = 0;; ++k) {
    kho::TestArena t = kho::TestArena::make(1 << 20);
    const kho::Phys page = Timeline::make(*t, 7).take();
    Timeline line(*t, page.value);
    line.point("first", "x", 1);
    UniqueFd image;
    int stores = 0;
    kho::set_store_hook([&](std::byte*, size_t) {
      if (stores++ == k) image = kho::snapshot(t->view());
    });
    line.point("second", "y", 2);
    kho::set_store_hook({});
    if (!image.valid()) break;
    t.arena.reset();
    t.file = std::move(image);
    t.reattach();
    const auto entries = Timeline(*t, page.value).entries();
    ASSERT_GE(entries.size(), 1u);
    EXPECT_EQ(entries.back().what, entries.size() == 2 ? "y" : "x");
  }
}

}  // namespace
}  // namespace outlive::luo
