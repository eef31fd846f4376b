// What the tests of kho/ share: an arena over a file of its own, copies of it as a crash would
// leave it, and the check that an arena agrees with itself.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "base/fault.h"
#include "base/sys.h"
#include "kho/arena.h"
#include "kho/image.h"
#include "kho/root_fdt.h"

namespace outlive::kho {

inline constexpr uint16_t kUser = abi::kOwnerFirstUser;

struct TestArena {
  UniqueFd file;
  std::unique_ptr<Arena> arena;

  static TestArena make(uint64_t bytes = 16 << 20) {
    TestArena made;
    made.file = Arena::create_file(bytes).take();
    made.arena = Arena::create(made.file).take();
    return made;
  }
  // The next process: a second mapping of the same file.
  AttachReport reattach() {
    AttachReport report;
    arena.reset();
    Result<std::unique_ptr<Arena>> next = Arena::attach(file, &report);
    EXPECT_TRUE(next) << next.error().text();
    if (next) arena = next.take();
    return report;
  }
  Arena* operator->() const { return arena.get(); }
  Arena& operator*() const { return *arena; }
};

// A file with the same bytes: what a process that is killed now leaves.
inline UniqueFd snapshot(const View& view) {
  UniqueFd file = Arena::create_file(view.size()).take();
  const uint64_t used = view.header()->high_water * abi::kPageSize;
  static const std::vector<std::byte> kZero(abi::kPageSize);
  sys::Mapping copy = sys::mmap(view.size(), PROT_READ | PROT_WRITE, MAP_SHARED, file).take();
  for (uint64_t at = 0; at < used; at += abi::kPageSize) {
    if (std::memcmp(view.base() + at, kZero.data(), kZero.size()) == 0) continue;
    std::memcpy(copy.data() + at, view.base() + at, kZero.size());
  }
  return file;
}

// Tracker pages, root FDT and descriptors, byte by byte.
inline std::string structure(const Arena& arena) {
  const View view = arena.view();
  Result<ImageFacts> facts = check_image(view);
  EXPECT_TRUE(facts) << facts.error().text();
  if (!facts) return {};
  std::string all;
  const auto add = [&](uint64_t page) {
    all.append(reinterpret_cast<const char*>(view.base() + page * abi::kPageSize), abi::kPageSize);
  };
  add(facts->root_fdt_page.page());
  for (uint64_t page = 0; page < facts->high_water; ++page) {
    const uint64_t descriptor = descriptor_at(view, page);
    all.append(reinterpret_cast<const char*>(&descriptor), sizeof(descriptor));
  }
  for (const uint64_t page : facts->tracker) add(page);
  return all;
}

// Everything that is derived agrees with the descriptors, and free pages are zero.
inline void expect_consistent(const Arena& arena) {
  const View view = arena.view();
  Result<ImageFacts> facts = check_image(view);
  ASSERT_TRUE(facts) << facts.error().text();
  EXPECT_EQ(tracker_difference(view, facts->walk, facts->expected), 0u);
  EXPECT_EQ(facts->tracker.size(), facts->walk.population.size()) << "a tracker page is lost";
  for (const auto& [page, population] : facts->walk.population) {
    if (Phys::of_page(page) != facts->tracker_root) {
      EXPECT_GT(population, 0u) << "an empty tracker page is kept";
    }
  }
  uint64_t free = view.pages() - facts->high_water;
  static const std::vector<std::byte> kZero(abi::kPageSize);
  for (const Run& run : facts->free) {
    free += run.end - run.first;
    for (uint64_t page = run.first; page < run.end; ++page) {
      ASSERT_EQ(std::memcmp(view.base() + page * abi::kPageSize, kZero.data(), kZero.size()), 0)
          << "free page " << page << " is not zero";
    }
  }
  EXPECT_EQ(arena.free_pages(), free);
}

// Makes the n-th fault point of this name fail while it lives; n = 0 is the first.
class FailNth {
 public:
  FailNth(std::string name, int n, int code = ENOMEM) {
    set_fault_hook(
        [this, name, n, code](const char* hit) { return name == hit && hits_++ == n ? code : 0; });
  }
  ~FailNth() { set_fault_hook({}); }
  bool fired(int n) const { return hits_ > n; }
  int hits() const { return hits_; }

 private:
  int hits_ = 0;
};

}  // namespace outlive::kho
