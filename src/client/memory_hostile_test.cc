// Regions with damaged structure: refused or reported, never a crash, never an endless walk.
#include <unistd.h>

#include <vector>

#include "base/crc32c.h"
#include "client/memory_test_util.h"

namespace outlive::client {
namespace {

using Image = std::vector<std::byte>;

class MemoryHostile : public testing::Test {
 protected:
  void SetUp() override {
    std::mt19937_64 random(7);
    memory_ = make_memory(0, uint64_t{16} << 20);
    for (int i = 0; i < 600; ++i) {
      const uint64_t size = i % 50 == 0 ? random() % 200'000 : random() % 3000;
      offsets_.push_back(*memory_->allocate(size));
    }
    for (size_t i = 0; i < offsets_.size(); i += 3) ASSERT_TRUE(memory_->free(offsets_[i]));
    image_.assign(memory_->base(), memory_->base() + memory_->size());
    ASSERT_EQ(check_text(*memory_), "");
  }

  // The region with `image` as its bytes, whatever they say.
  Result<std::unique_ptr<Memory>> attach(const Image& image) {
    UniqueFd file = TRY(Memory::new_file("outlive-test"));
    TRY(sys::write_all(file, {reinterpret_cast<const char*>(image.data()), image.size()}));
    return Memory::attach(std::move(file));
  }

  static abi::MemoryHeader& header_in(Image& image) {
    return *reinterpret_cast<abi::MemoryHeader*>(image.data());
  }
  static abi::MemoryPage& entry_in(Image& image, uint64_t page) {
    return reinterpret_cast<abi::MemoryPage*>(
        image.data() + abi::kMemoryHeaderSize)[page - header_in(image).first_page];
  }
  static void seal(Image& image) {
    abi::MemoryHeader& header = header_in(image);
    header.crc = crc32c(std::span(image).first(offsetof(abi::MemoryHeader, crc)));
  }

  // Everything that a service may call, on what could be attached.
  void use(Memory& memory, std::mt19937_64& random) {
    static_cast<void>(check_text(memory));
    static_cast<void>(memory.root());
    static_cast<void>(memory.name());
    if (random() % 8 == 0) static_cast<void>(memory.populate());
    if (!memory.make_writable()) return;
    for (int i = 0; i < 100; ++i) {
      const uint64_t known = offsets_[random() % offsets_.size()];
      static_cast<void>(memory.usable(random() % 4 == 0 ? random() : known));
      static_cast<void>(memory.free(random() % 8 == 0 ? random() % memory.size() : known));
      static_cast<void>(memory.allocate(random() % (i % 10 == 0 ? 300'000 : 3000)));
    }
    static_cast<void>(check_text(memory));
    static_cast<void>(memory.repaired());
  }

  std::unique_ptr<Memory> memory_;
  std::vector<uint64_t> offsets_;
  Image image_;
};

TEST_F(MemoryHostile, RandomDamageNeverCrashes) {
  std::mt19937_64 random(test_seed());
  int attached = 0;
  for (int round = 0; round < 1000; ++round) {
    Image image = image_;
    const uint64_t table = abi::kMemoryHeaderSize + header_in(image).pages * 32;
    for (uint64_t flips = random() % 8 + 1; flips > 0; --flips) {
      // Half of it in what changes, so that the header's checksum doesn't end every round.
      const uint64_t low = random() % 4 == 0 ? 0 : offsetof(abi::MemoryHeader, epoch);
      const uint64_t high = random() % 8 == 0 ? image.size() : table;
      image[low + random() % (high - low)] ^= static_cast<std::byte>(1u << (random() % 8));
    }
    if (random() % 16 == 0) image.resize(random() % image.size());
    Result<std::unique_ptr<Memory>> found = attach(image);
    if (!found) continue;
    ++attached;
    use(**found, random);
  }
  EXPECT_GT(attached, 100);
}

TEST_F(MemoryHostile, GarbageEntriesNeverCrash) {
  std::mt19937_64 random(test_seed());
  for (int round = 0; round < 500; ++round) {
    Image image = image_;
    const abi::MemoryHeader& header = header_in(image);
    for (int i = 0; i < 20; ++i) {
      abi::MemoryPage& entry = entry_in(image, header.first_page + random() % header.pages);
      const auto page = [&] { return static_cast<uint32_t>(random() % (header.pages + 4)); };
      entry = {static_cast<uint8_t>(random() % 7),
               static_cast<uint8_t>(random() % 50),
               static_cast<uint8_t>(random() % 2),
               0,
               page(),
               page(),
               page(),
               page(),
               0,
               random()};
      header_in(image).bins[random() % 256] = page();
      header_in(image).partial[random() % abi::kMemoryClasses] = page();
    }
    header_in(image).bin_map[random() % 4] = random();
    Result<std::unique_ptr<Memory>> found = attach(image);
    ASSERT_TRUE(found) << found.error().text();
    EXPECT_NE(check_text(**found), "");
    use(**found, random);
  }
}

TEST_F(MemoryHostile, EveryLyingFieldOfAnEntryIsFound) {
  const abi::MemoryHeader header = header_in(image_);
  int entries = 0;
  for (uint64_t page = header.first_page; page < header.first_page + header.pages; ++page) {
    const abi::MemoryPage entry = entry_in(image_, page);
    if (entry.kind == 0) continue;
    ++entries;
    const auto found = [&](auto change) {
      Image image = image_;
      change(entry_in(image, page));
      Result<std::unique_ptr<Memory>> memory = attach(image);
      EXPECT_TRUE(memory) << memory.error().text();
      return memory && check_text(**memory) != "";
    };
    EXPECT_TRUE(found([](abi::MemoryPage& e) { e.kind = static_cast<uint8_t>(e.kind ^ 1); }));
    EXPECT_TRUE(found([](abi::MemoryPage& e) { e.run += 1; }));
    EXPECT_TRUE(found([](abi::MemoryPage& e) { e.run = 0; }));
    if (entry.kind != static_cast<uint8_t>(abi::MemoryKind::kSpan)) continue;
    EXPECT_TRUE(found([](abi::MemoryPage& e) { e.clazz = static_cast<uint8_t>(e.clazz + 1); }));
    EXPECT_TRUE(found([](abi::MemoryPage& e) { e.free += 1; }));
    EXPECT_TRUE(found([](abi::MemoryPage& e) { e.map ^= 1; }));
    if (entry.free > 0) {
      EXPECT_TRUE(found([](abi::MemoryPage& e) { e.next += 1; }));
      EXPECT_TRUE(found([](abi::MemoryPage& e) { e.prev += 1; }));
    }
  }
  EXPECT_GT(entries, 10);
}

TEST_F(MemoryHostile, AListThatIsACircleEnds) {
  Image image = image_;
  for (uint32_t clazz = 0; clazz < abi::kMemoryClasses; ++clazz) {
    const uint32_t first = header_in(image).partial[clazz];
    if (first == 0) continue;
    entry_in(image, first).next = first;
    entry_in(image, first).prev = first;
  }
  Result<std::unique_ptr<Memory>> found = attach(image);
  ASSERT_TRUE(found);
  EXPECT_NE(check_text(**found), "");
}

TEST_F(MemoryHostile, TheHeaderIsRefusedWithAReason) {
  const auto refusal = [&](auto change, bool sealed) {
    Image image = image_;
    change(header_in(image));
    if (sealed) seal(image);
    Result<std::unique_ptr<Memory>> found = attach(image);
    return found ? std::string("attached") : found.error().text();
  };
  using H = abi::MemoryHeader;
  EXPECT_NE(refusal([](H& h) { h.compatible[16] = '7'; }, true).find("outlive-memory-v7"),
            std::string::npos);
  EXPECT_NE(refusal([](H& h) { h.compatible[0] = 'x'; }, true).find("EPROTO"), std::string::npos);
  EXPECT_NE(refusal([](H& h) { h.max_pages += 1; }, false).find("checksum"), std::string::npos);
  EXPECT_NE(refusal([](H& h) { h.max_pages = ~0ull; }, true).find("EUCLEAN"), std::string::npos);
  EXPECT_NE(refusal([](H& h) { h.first_page += 1; }, true).find("EUCLEAN"), std::string::npos);
  EXPECT_NE(refusal([](H& h) { h.page_shift = 12; }, true).find("EUCLEAN"), std::string::npos);
  EXPECT_NE(refusal([](H& h) { h.pages += 1; }, false).find("the file has"), std::string::npos);
  EXPECT_NE(refusal([](H& h) { h.root = ~0ull; }, false).find("root"), std::string::npos);
  EXPECT_EQ(refusal([](H& h) { h.epoch += 1; }, false), "attached");
}

}  // namespace
}  // namespace outlive::client
