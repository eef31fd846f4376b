#include "kho/root_fdt.h"

#include <libfdt.h>

#include "kho/arena_test.h"

namespace outlive::kho {
namespace {

std::vector<std::byte> blob_of(size_t size, int value) {
  return std::vector<std::byte>(size, std::byte(value));
}

TEST(RootFdt, AddFindListRemove) {
  TestArena t = TestArena::make();
  RootFdt root(*t);
  EXPECT_TRUE(root.list().empty());
  const Phys data = t->alloc_preserve(5000, kUser).take();
  ASSERT_TRUE(root.add_subtree("one", data, 5000));
  ASSERT_TRUE(root.add_subtree("two", Phys{data.value + 4096}, 4096));
  EXPECT_EQ(root.find_subtree("one")->data, data);
  EXPECT_EQ(root.find_subtree("two")->size, 4096u);
  EXPECT_FALSE(root.find_subtree("on"));
  ASSERT_EQ(root.list().size(), 2u);
  EXPECT_EQ(root.list()[0].name, "one");
  t.reattach();
  RootFdt again(*t);
  EXPECT_EQ(again.find_subtree("one")->data, data);
  ASSERT_TRUE(again.remove_subtree("one"));
  EXPECT_EQ(again.remove_subtree("one").error().code, ENOENT);
  EXPECT_EQ(again.list().size(), 1u);
  EXPECT_TRUE(t->is_live(data, kUser));
  EXPECT_EQ(fdt_check_full(again.bytes().data(), again.bytes().size()), 0);
}

TEST(RootFdt, BadNamesAndData) {
  TestArena t = TestArena::make();
  RootFdt root(*t);
  const Phys data = t->alloc_preserve(4096, kUser).take();
  const std::string before = structure(*t);
  for (const char* name : {"", "a@1", "a/b", "a b", "x234567890123456789012345678901x"}) {
    EXPECT_EQ(root.add_subtree(name, data, 1).error().code, EINVAL) << name;
  }
  EXPECT_EQ(root.add_subtree("a", data, 4097).error().code, EINVAL);
  EXPECT_EQ(root.add_subtree("a", Phys{}, 0).error().code, EINVAL);
  EXPECT_EQ(root.add_subtree("a", Phys{t->size() + 4096}, 1).error().code, EINVAL);
  EXPECT_EQ(root.add_subtree("a", Phys{4096}, 1).error().code, EINVAL);
  EXPECT_EQ(root.add_subtree("a", Phys{t->header().tracker_root}, 1).error().code, EINVAL);
  EXPECT_EQ(structure(*t), before);
  const Phys begun = t->alloc(0, kUser).take();
  EXPECT_EQ(root.add_subtree("a", begun, 1).error().code, EINVAL);
  ASSERT_TRUE(root.add_subtree("a", data, 1));
  EXPECT_EQ(root.add_subtree("a", data, 1).error().code, EEXIST);
  EXPECT_EQ(root.replace_subtree("b", data, 1).error().code, ENOENT);
}

TEST(RootFdt, FullPageKeepsRoomForOurOwn) {
  TestArena t = TestArena::make();
  RootFdt root(*t);
  const Phys data = t->alloc_preserve(4096, kUser).take();
  size_t added = 0;
  while (true) {
    const std::string before = structure(*t);
    Status one = root.add_client_subtree(fmt::format("client-{}", added), data, 1);
    if (!one) {
      EXPECT_EQ(one.error().code, ENOSPC);
      EXPECT_EQ(structure(*t), before);
      break;
    }
    ++added;
  }
  EXPECT_GT(added, 20u);
  for (const char* name : {"LUO", "memblock", "clients", "kexec-metadata", "outlive"}) {
    EXPECT_EQ(root.add_client_subtree(name, data, 1).error().code, EPERM);
    EXPECT_TRUE(root.add_subtree(name, data, 1)) << name;
    EXPECT_EQ(root.remove_client_subtree(name).error().code, EPERM);
  }
  EXPECT_EQ(root.list().size(), added + 5);
  t.reattach();
  EXPECT_EQ(RootFdt(*t).list().size(), added + 5);
}

TEST(RootFdt, BlobsFollowTheirName) {
  TestArena t = TestArena::make();
  RootFdt root(*t);
  const uint64_t used = t->used_pages();
  const Phys first = root.add_subtree_blob("a", blob_of(9000, 1)).take();
  EXPECT_EQ(*t->at(Phys{first.value + 8999}, 1), std::byte{1});
  EXPECT_EQ(root.add_subtree_blob("a", blob_of(1, 1)).error().code, EEXIST);
  EXPECT_EQ(root.add_subtree_blob("b", {}).error().code, EINVAL);
  EXPECT_EQ(root.add_subtree_blob("b", blob_of(64, 1), BlobFormat::kFdt).error().code, EUCLEAN);
  const Phys second = root.replace_subtree_blob("a", blob_of(10, 2)).take();
  EXPECT_FALSE(t->folio(first));
  EXPECT_EQ(root.find_subtree("a")->data, second);
  // Not named by the root: the next attach frees it.
  ASSERT_TRUE(t->alloc_preserve(1, abi::kOwnerSubtree));
  EXPECT_EQ(t.reattach().reclaimed_folios, 1u);
  RootFdt again(*t);
  ASSERT_TRUE(again.remove_subtree_blob("a"));
  EXPECT_EQ(t->used_pages(), used);
  expect_consistent(*t);
}

TEST(RootFdt, FailedBlobChangesNothing) {
  TestArena t = TestArena::make();
  RootFdt root(*t);
  ASSERT_TRUE(root.add_subtree_blob("old", blob_of(10, 2)));
  for (const char* name : {"kho.alloc", "kho.preserve", "kho.subtree"}) {
    for (const char* subtree : {"new", "old"}) {
      for (int n = 0;; ++n) {
        const std::string before = structure(*t);
        bool fired = false;
        bool failed = false;
        {
          FailNth fail(name, n, EIO);
          Result<Phys> blob = root.replace_subtree_blob(subtree, blob_of(20000, 3));
          failed = !blob;
          fired = fail.fired(n);
        }
        ASSERT_EQ(failed, fired);
        if (!fired) break;
        ASSERT_EQ(structure(*t), before) << name << " " << n;
        expect_consistent(*t);
      }
      ASSERT_TRUE(root.remove_subtree_blob(subtree));
      ASSERT_TRUE(root.add_subtree_blob("old", blob_of(10, 2)) || subtree[0] == 'n');
    }
  }
}

// Formats before 17 have full paths for names; libfdt's reader of those trusts them.
TEST(RootFdt, OldVersionsOfTheFormatAreRefused) {
  RootFdtContents contents;
  contents.compatible = abi::kKhoCompatible;
  contents.memory_map = Phys{0x4000};
  contents.subtrees = {{"one", Phys{0x9000}, 300}};
  for (const int version : {0, 1, 4, 15, 16}) {
    std::vector<std::byte> page = build_root_fdt(contents).take();
    ASSERT_TRUE(parse_root_fdt(page));
    page[23] = static_cast<std::byte>(version);  // of the header, big endian
    page[27] = std::byte{0};                     // the last one it is compatible with
    const auto parsed = parse_root_fdt(page);
    ASSERT_FALSE(parsed) << version;
    EXPECT_EQ(parsed.error().code, EUCLEAN);
  }
}

}  // namespace
}  // namespace outlive::kho
