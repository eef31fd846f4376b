// Images that nobody vouches for: attach refuses them with a reason and changes nothing, or gives
// an arena that agrees with itself. It never crashes.
#include <random>

#include "kho/arena_test.h"
#include "kho/layout.h"
#include "kho/reserve_mem.h"

namespace outlive::kho {
namespace {

// An arena with a bit of everything.
TestArena make_image() {
  TestArena t = TestArena::make();
  RootFdt root(*t);
  for (unsigned order = 0; order < 6; ++order) {
    EXPECT_TRUE(t->alloc_preserve(order_bytes(order), kUser));
  }
  EXPECT_TRUE(root.add_subtree_blob("one", std::vector<std::byte>(700, std::byte{1})));
  EXPECT_TRUE(root.add_subtree_blob("two", std::vector<std::byte>(9000, std::byte{2})));
  EXPECT_TRUE(ReserveMem::open(*t)->reserve("log", 40000));
  EXPECT_TRUE(t->alloc(2, kUser));
  return t;
}

class Image {
 public:
  explicit Image(const View& view)
      : file_(snapshot(view)), used_(view.header()->high_water * abi::kPageSize) {
    memory_ = sys::mmap(view.size(), PROT_READ | PROT_WRITE, MAP_SHARED, file_).take();
  }
  std::byte* at(uint64_t offset) { return memory_.data() + offset; }
  uint64_t* word(uint64_t offset) { return reinterpret_cast<uint64_t*>(at(offset)); }
  BorrowedFd file() const { return file_; }
  std::string bytes() const { return {reinterpret_cast<const char*>(memory_.data()), used_}; }

 private:
  UniqueFd file_;
  size_t used_;
  sys::Mapping memory_;
};

// The code attach refuses with, having changed nothing; 0: it took a self-consistent arena.
int attach_code(Image& image) {
  const std::string before = image.bytes();
  Result<std::unique_ptr<Arena>> arena = Arena::attach(image.file());
  if (arena) {
    expect_consistent(**arena);
    static_cast<void>(RootFdt(**arena).list());
    static_cast<void>(ReserveMem::open(**arena));
    expect_consistent(**arena);
    return 0;
  }
  EXPECT_FALSE(arena.error().message.empty());
  EXPECT_TRUE(image.bytes() == before) << "refused, but changed: " << arena.error().text();
  return arena.error().code;
}

TEST(Hostile, Header) {
  const TestArena t = make_image();
  const auto with = [&](size_t offset, uint64_t value) {
    Image image(t->view());
    *image.word(offset) = value;
    return attach_code(image);
  };
  const uint64_t size = t->size();
  for (const uint64_t value : {uint64_t{0}, size + 4096, size - 4096, ~uint64_t{0}}) {
    EXPECT_EQ(with(offsetof(abi::ArenaHeader, size), value), EUCLEAN);
    EXPECT_EQ(with(offsetof(abi::ArenaHeader, root_fdt), value), EUCLEAN);
    EXPECT_EQ(with(offsetof(abi::ArenaHeader, tracker_root), value), EUCLEAN);
    EXPECT_EQ(with(offsetof(abi::ArenaHeader, descriptors), value), EUCLEAN);
    EXPECT_EQ(with(offsetof(abi::ArenaHeader, high_water), value), EUCLEAN);
  }
  // Folios above it would be lost.
  EXPECT_EQ(with(offsetof(abi::ArenaHeader, high_water), 64), EUCLEAN);
  EXPECT_EQ(with(offsetof(abi::ArenaHeader, epoch), ~uint64_t{0}), 0);
}

TEST(Hostile, Version) {
  const TestArena t = make_image();
  Image image(t->view());
  *image.at(15) = std::byte{'9'};
  Result<std::unique_ptr<Arena>> arena = Arena::attach(image.file());
  ASSERT_FALSE(arena);
  EXPECT_EQ(arena.error().code, EPROTO);
  EXPECT_NE(arena.error().message.find("outlive-arena-v9"), std::string::npos);
  Image fdt(t->view());
  std::byte* page = fdt.at(t->root_fdt().value);
  for (size_t i = 0; i < 4096 - 6; ++i) {
    if (std::memcmp(page + i, "kho-v3", 6) == 0) page[i + 5] = std::byte{'7'};
  }
  arena = Arena::attach(fdt.file());
  ASSERT_FALSE(arena);
  EXPECT_EQ(arena.error().code, EPROTO);
  EXPECT_NE(arena.error().message.find("kho-v7"), std::string::npos);
}

TEST(Hostile, Files) {
  EXPECT_EQ(Arena::attach(Arena::create_file(1 << 20).take()).error().code, EPROTO);  // empty
  EXPECT_FALSE(Arena::attach(BorrowedFd()));
  EXPECT_FALSE(Arena::attach(sys::open("/dev/null", O_RDWR).take()));
  EXPECT_FALSE(Arena::attach(sys::memfd_create("empty", MFD_ALLOW_SEALING).take()));
}

TEST(Hostile, Descriptors) {
  const TestArena t = make_image();
  using abi::make_descriptor;
  using abi::PageState;
  const uint64_t table = kDescriptorPage * abi::kPageSize;
  const uint64_t own = first_free_page(t->view().pages());
  const Phys folio = t->alloc_preserve(4 * 4096, kUser).take();
  const Phys free = t->alloc(3, kUser).take();
  t->free(free);
  const auto with = [&](uint64_t page, uint64_t value) {
    Image image(t->view());
    *image.word(table + page * 8) = value;
    return attach_code(image);
  };
  const uint64_t live = make_descriptor(PageState::kLive, 0, kUser, 0);
  EXPECT_EQ(with(free.page(), live), 0);             // one that is sound
  EXPECT_EQ(with(folio.page() + 1, live), EUCLEAN);  // inside another
  EXPECT_EQ(with(folio.page(), make_descriptor(PageState::kLive, 9, kUser, 0)), EUCLEAN);
  EXPECT_EQ(with(folio.page(), make_descriptor(PageState::kLive, 1, kUser, 0)), 0);
  EXPECT_EQ(with(free.page() + 1, make_descriptor(PageState::kLive, 1, kUser, 0)), EUCLEAN);
  EXPECT_EQ(with(free.page(), make_descriptor(PageState::kLive, 19, kUser, 0)), EUCLEAN);
  EXPECT_EQ(with(free.page(), make_descriptor(PageState::kLive, 255, kUser, 0)), EUCLEAN);
  EXPECT_EQ(with(free.page(), make_descriptor(PageState{4}, 0, kUser, 0)), EUCLEAN);
  EXPECT_EQ(with(free.page(), make_descriptor(PageState::kFree, 0, kUser, 7)), EUCLEAN);
  EXPECT_EQ(with(free.page(), make_descriptor(PageState::kLive, 0, abi::kOwnerMeta, 0)), EUCLEAN);
  EXPECT_EQ(with(free.page(), make_descriptor(PageState::kLive, 0, abi::kOwnerNone, 0)), EUCLEAN);
  EXPECT_EQ(with(free.page(), make_descriptor(PageState::kLive, 1, abi::kOwnerTracker, 0)),
            EUCLEAN);
  for (uint64_t page = 0; page < own; ++page) EXPECT_EQ(with(page, 0), EUCLEAN);
  EXPECT_EQ(with(0, make_descriptor(PageState::kIntent, 0, kUser, 0)), EUCLEAN);
  const uint64_t last = t->view().pages() - 1;
  ASSERT_GT(last, t->header().high_water);
  EXPECT_EQ(with(last, live), EUCLEAN);
  EXPECT_EQ(with(t->header().high_water, live), EUCLEAN);
}

// Bits of header, descriptors, tracker and root FDT are turned, one to eight at a time.
TEST(Hostile, BitFlips) {
  const TestArena t = make_image();
  const ImageFacts facts = check_image(t->view()).take();
  std::vector<std::pair<uint64_t, uint64_t>> parts = {
      {0, 80},
      {facts.root_fdt_page.value, RootFdt(*t).bytes().size()},
      {kDescriptorPage * abi::kPageSize, (facts.high_water + 100) * 8},
  };
  for (const uint64_t page : facts.tracker) parts.push_back({page * abi::kPageSize, 4096});
  // A blob that is an FDT itself.
  const auto memblock = RootFdt(*t).find_subtree("memblock");
  parts.push_back({memblock->data.value, memblock->size});
  int refused = 0;
  constexpr unsigned kSeeds = 500;
  for (unsigned seed = 0; seed < kSeeds; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    Image image(t->view());
    const unsigned flips = 1 + random() % 8;
    for (unsigned i = 0; i < flips; ++i) {
      const auto& [from, size] = parts[random() % parts.size()];
      *image.at(from + random() % size) ^= std::byte(1 << random() % 8);
    }
    const int code = attach_code(image);
    refused += code != 0;
    ASSERT_TRUE(code == 0 || code == EUCLEAN || code == EPROTO) << code;
    if (testing::Test::HasFailure()) return;
  }
  RecordProperty("refused", refused);
  EXPECT_GT(refused, 100);
  EXPECT_LT(refused, static_cast<int>(kSeeds));
}

}  // namespace
}  // namespace outlive::kho
