#include "kho/fsck.h"

#include "kho/arena_test.h"
#include "kho/image_copy.h"
#include "kho/layout.h"

namespace outlive::kho {
namespace {

std::vector<Finding> findings_of(const TestArena& t) {
  std::vector<Finding> findings;
  const Status looked = fsck(t->view(), t.file, findings);
  EXPECT_TRUE(looked) << looked.error().text();
  return findings;
}

// Just one, that says this.
void expect_one(const TestArena& t, std::string_view text) {
  const std::vector<Finding> findings = findings_of(t);
  ASSERT_EQ(findings.size(), 1u) << text << (findings.empty() ? "" : findings[0].text);
  EXPECT_NE(findings[0].text.find(text), std::string::npos) << findings[0].text;
  EXPECT_TRUE(findings[0].derived);
}

uint64_t* word(const TestArena& t, uint64_t address) {
  return reinterpret_cast<uint64_t*>(const_cast<std::byte*>(t->view().base() + address));
}

uint64_t* descriptor(const TestArena& t, Phys folio) {
  return word(t, kDescriptorPage * abi::kPageSize + folio.page() * 8);
}

TestArena used_arena() {
  TestArena t = TestArena::make();
  EXPECT_TRUE(t->alloc_preserve(3 * abi::kPageSize, kUser));
  EXPECT_TRUE(RootFdt(*t).add_subtree_blob("one", std::vector<std::byte>(100, std::byte{1})));
  const Phys gone = t->alloc_preserve(abi::kPageSize, kUser).take();
  t->free(gone);
  return t;
}

TEST(Fsck, CleanArena) {
  const TestArena t = used_arena();
  EXPECT_TRUE(findings_of(t).empty());
}

TEST(Fsck, FindsEachKindOfDamageAndAttachPutsItRight) {
  const auto repaired = [](TestArena& t) {
    t.reattach();
    const std::vector<Finding> left = findings_of(t);
    EXPECT_TRUE(left.empty()) << left[0].text;
  };
  {
    TestArena t = used_arena();
    const ImageFacts facts = check_image(t->view()).take();
    *word(t, facts.walk.leaves[0].page * abi::kPageSize) ^= 0xff00;
    expect_one(t, "tracker: 8 keys differ");
    repaired(t);
  }
  {
    TestArena t = used_arena();
    const Phys folio = t->alloc(1, kUser).take();
    expect_one(t, "not preserved (INTENT)");
    *descriptor(t, folio) = abi::make_descriptor(abi::PageState::kDying, 1, kUser, 0);
    expect_one(t, "half freed (DYING)");
    repaired(t);
  }
  {
    TestArena t = used_arena();
    const Phys lost = t->alloc(0, kUser).take();
    *descriptor(t, lost) = abi::make_descriptor(abi::PageState::kLive, 0, abi::kOwnerTracker, 0);
    expect_one(t, "a tracker page that its tree does not reach");
    repaired(t);
  }
  {
    TestArena t = used_arena();
    EXPECT_TRUE(t->alloc_preserve(100, abi::kOwnerSubtree));
    expect_one(t, "the root FDT does not name");
    repaired(t);
  }
}

TEST(Fsck, FindsWhatFreePagesStillHave) {
  TestArena t = used_arena();
  const Phys page = t->alloc(0, kUser).take();
  t->free(page);
  *word(t, page.value + 800) = 1;
  expect_one(t, "free, and not zero");
  t.arena.reset();
  EXPECT_EQ(zero_free_pages(t.file).take(), 1u);
  t.reattach();
  EXPECT_TRUE(findings_of(t).empty());
  // Above the high water, too; many of them are a few lines.
  const uint64_t high = t->header().high_water;
  for (uint64_t i = 0; i < 30; ++i) *word(t, (high + i) * abi::kPageSize + 8 * i) = ~uint64_t{0};
  const std::vector<Finding> findings = findings_of(t);
  ASSERT_EQ(findings.size(), 21u);
  EXPECT_NE(findings[20].text.find("10 more"), std::string::npos) << findings[20].text;
  t.arena.reset();
  EXPECT_EQ(zero_free_pages(t.file).take(), 30u);
}

TEST(Fsck, DamageThatAttachRefusesIsAnError) {
  const TestArena t = used_arena();
  std::vector<Finding> findings;
  *word(t, offsetof(abi::ArenaHeader, high_water)) = 1;
  EXPECT_EQ(fsck(t->view(), t.file, findings).error().code, EUCLEAN);
  *word(t, 0) = 0;
  EXPECT_EQ(fsck(t->view(), t.file, findings).error().code, EPROTO);
}

TEST(ImageCopy, IsEqualAndSparse) {
  const TestArena t = used_arena();
  const UniqueFd copy = private_copy(t.file).take();
  const struct stat from = sys::fstat(t.file).take();
  const struct stat to = sys::fstat(copy).take();
  EXPECT_EQ(from.st_size, to.st_size);
  EXPECT_LT(to.st_blocks * 512, from.st_size / 4);
  const auto map = [&](BorrowedFd fd) {
    return sys::mmap(static_cast<size_t>(from.st_size), PROT_READ, MAP_SHARED, fd).take();
  };
  const sys::Mapping a = map(t.file);
  const sys::Mapping b = map(copy);
  EXPECT_EQ(std::memcmp(a.data(), b.data(), a.size()), 0);
}

TEST(ImageCopy, SavesOnceAndForItsOwnerOnly) {
  const TestArena t = used_arena();
  char folder[] = "/tmp/outlive-copy-XXXXXX";
  ASSERT_NE(::mkdtemp(folder), nullptr);
  const std::string path = std::string(folder) + "/image";
  ASSERT_TRUE(save_image(t.file, path));
  const UniqueFd saved = sys::open(path, O_RDWR).take();
  EXPECT_EQ(sys::fstat(saved).take().st_mode & 07777, 0600u);
  EXPECT_EQ(save_image(t.file, path).error().code, EEXIST);
  EXPECT_TRUE(sys::unlink(path));
  ::rmdir(folder);
}

}  // namespace
}  // namespace outlive::kho
