#include "kho/dump.h"

#include "kho/arena_test.h"

namespace outlive::kho {
namespace {

TEST(Dump, LiveArena) {
  TestArena t = TestArena::make();
  RootFdt root(*t);
  const Phys folio = t->alloc_preserve(3 * 4096, kUser, 7).take();
  ASSERT_TRUE(root.add_subtree("mine", folio, 100));
  ASSERT_TRUE(t->alloc(0, kUser));
  const ArenaDump dump = dump_file(t.file, true).take();
  EXPECT_EQ(dump.compatible, "outlive-arena-v1");
  EXPECT_EQ(dump.root_compatible, "kho-v3");
  EXPECT_EQ(dump.size, t->size());
  ASSERT_EQ(dump.subtrees.size(), 1u);
  EXPECT_EQ(dump.subtrees[0].name, "mine");
  ASSERT_EQ(dump.folios.size(), 1u);
  EXPECT_EQ(dump.folios[0].head, folio);
  EXPECT_EQ(dump.folios[0].order, 2u);
  EXPECT_EQ(dump.folios[0].tag, 7u);
  EXPECT_EQ(dump.live_pages, 4u);
  EXPECT_EQ(dump.begun_folios, 1u);
  EXPECT_EQ(dump.tracker_difference, 0u);
  EXPECT_EQ(dump.lost_tracker_pages, 0u);
  EXPECT_EQ(dump.root_fdt.size(), root.bytes().size());
  EXPECT_EQ(owner_name(abi::kOwnerReserveMem), "reserve_mem");
  EXPECT_EQ(owner_name(64), "user 64");
}

TEST(Dump, DigestTellsWhatIsPreserved) {
  TestArena t = TestArena::make();
  const Phys folio = t->alloc_preserve(4096, kUser).take();
  const auto digest = [&] { return dump(t->view(), true)->digest; };
  const std::string before = digest();
  EXPECT_EQ(before.size(), 32u);
  const Phys begun = t->alloc(0, kUser).take();
  EXPECT_EQ(digest(), before);  // not preserved
  ASSERT_TRUE(t->preserve(begun));
  EXPECT_NE(digest(), before);
  ASSERT_TRUE(t->unpreserve(begun));
  t->at(folio, 4096)[4095] = std::byte{1};
  EXPECT_NE(digest(), before);
  t->at(folio, 4096)[4095] = std::byte{0};
  EXPECT_EQ(digest(), before);
  ASSERT_TRUE(t->set_tag(folio, 1));
  EXPECT_NE(digest(), before);
  EXPECT_EQ(dump(t->view(), false)->digest, "");
}

TEST(Dump, SavedImageAndDifference) {
  TestArena t = TestArena::make();
  ASSERT_TRUE(t->alloc_preserve(4096, kUser));
  const UniqueFd image = snapshot(t->view());
  EXPECT_EQ(dump_file(image, true)->digest, dump_file(t.file, true)->digest);
  const ImageFacts facts = check_image(t->view()).take();
  *t->object<uint64_t>(Phys::of_page(facts.walk.leaves[0].page)) ^= 1;
  EXPECT_EQ(dump_file(t.file, false)->tracker_difference, 1u);
  EXPECT_EQ(dump_file(image, false)->tracker_difference, 0u);
  std::memset(t->at(t->root_fdt(), 4096), 0xff, 4096);
  EXPECT_EQ(dump_file(t.file, false).error().code, EUCLEAN);
  EXPECT_FALSE(dump_file(sys::open("/dev/null", O_RDONLY).take(), false));
}

}  // namespace
}  // namespace outlive::kho
