// The bound on lost memory that client/memory_heap.h promises, under patterns made to break it.
#include <algorithm>
#include <array>
#include <deque>
#include <set>
#include <vector>

#include "client/memory_test_util.h"

namespace outlive::client {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;

// Allocates and frees, and keeps what the promise is made of.
class Meter {
 public:
  Meter() : memory(make_memory(0, uint64_t{8} << 30)) {}

  uint64_t allocate(uint64_t bytes) {
    const Result<uint64_t> offset = memory->allocate(bytes);
    EXPECT_TRUE(offset) << offset.error().text();
    if (!offset) abort();
    count(*offset, 1);
    return *offset;
  }
  void free(uint64_t offset) {
    count(offset, -1);
    EXPECT_TRUE(memory->free(offset));
  }
  // Of the heap: the classes' peaks, their last spans, and one step of growth.
  uint64_t promise(uint64_t for_runs) const {
    uint64_t sum = for_runs;
    for (const uint64_t peak : peaks_) {
      if (peak != 0) sum += peak * 115 / 100 + 256 * 1024;
    }
    return sum + std::clamp(sum / 8, kMiB, 16 * kMiB);
  }
  uint64_t peak() const { return peak_; }
  uint64_t large_peak() const { return large_peak_; }

  std::unique_ptr<Memory> memory;

 private:
  void count(uint64_t offset, int sign) {
    const uint64_t usable = memory->usable(offset);
    const uint64_t change = sign > 0 ? usable : ~usable + 1;
    live_ += change;
    peak_ = std::max(peak_, live_);
    if (usable > abi::kMemoryMostSmall) {
      large_ += change;
      large_peak_ = std::max(large_peak_, large_);
      return;
    }
    const uint32_t clazz = abi::memory_class_of(usable);
    class_live_[clazz] += change;
    peaks_[clazz] = std::max(peaks_[clazz], class_live_[clazz]);
  }

  std::array<uint64_t, abi::kMemoryClasses> class_live_{};
  std::array<uint64_t, abi::kMemoryClasses> peaks_{};
  uint64_t live_ = 0;
  uint64_t peak_ = 0;
  uint64_t large_ = 0;
  uint64_t large_peak_ = 0;
};

TEST(MemoryBound, SizeClassesLoseAtMostAQuarterInsideAndAnEighthOfASpan) {
  for (uint64_t bytes = 65; bytes <= abi::kMemoryMostSmall; ++bytes) {
    const uint64_t size = abi::memory_class_size(abi::memory_class_of(bytes));
    ASSERT_GE(size, bytes);
    ASSERT_LE(size * 4, bytes * 5) << bytes;
  }
  for (uint32_t clazz = 0; clazz < abi::kMemoryClasses; ++clazz) {
    const abi::MemoryClass shape = abi::memory_class(clazz);
    ASSERT_EQ(abi::memory_class_of(shape.size), clazz);
    ASSERT_EQ(shape.size % 16, 0u);
    ASSERT_LE(shape.head + uint64_t{shape.slots} * shape.size, shape.pages * abi::kMemoryPageSize);
    ASSERT_LE(shape.slots, shape.head == 0 ? 64u : 4096u);
    ASSERT_LE(shape.pages * abi::kMemoryPageSize * 100, uint64_t{shape.slots} * shape.size * 115);
  }
}

TEST(MemoryBound, SizesThatDriftReuseWhatWasFreed) {
  Meter meter;
  std::deque<uint64_t> live;
  uint64_t bytes_live = 0;
  for (uint64_t size = 16; size < 48 * 1024; size += size / 10 + 1) {
    for (uint64_t made = 0; made < 48 * kMiB; made += size) {
      live.push_back(meter.allocate(size));
      bytes_live += meter.memory->usable(live.back());
      while (bytes_live > 32 * kMiB) {
        bytes_live -= meter.memory->usable(live.front());
        meter.free(live.front());
        live.pop_front();
      }
    }
  }
  EXPECT_LE(heap_bytes(*meter.memory), meter.peak() * 13 / 10 + 16 * kMiB);
  EXPECT_EQ(check_text(*meter.memory), "");
}

TEST(MemoryBound, RandomSizesInASteadyState) {
  std::mt19937_64 random(test_seed());
  Meter meter;
  std::vector<uint64_t> live;
  const auto some_size = [&] { return (uint64_t{16} << (random() % 11)) + random() % 4096; };
  for (int i = 0; i < 30'000; ++i) live.push_back(meter.allocate(some_size()));
  for (int i = 0; i < 1'000'000; ++i) {
    const size_t place = random() % live.size();
    meter.free(live[place]);
    live[place] = meter.allocate(some_size());
  }
  EXPECT_LE(heap_bytes(*meter.memory), meter.peak() * 13 / 10 + 16 * kMiB);
  EXPECT_LE(heap_bytes(*meter.memory), meter.promise(0));
}

TEST(MemoryBound, OneBlockPinsEverySpanOfEveryClass) {
  Meter meter;
  for (uint32_t clazz = 0; clazz < abi::kMemoryClasses; ++clazz) {
    const abi::MemoryClass shape = abi::memory_class(clazz);
    std::vector<uint64_t> made;
    for (uint64_t bytes = 0; bytes < 16 * kMiB; bytes += shape.size) {
      made.push_back(meter.allocate(shape.size));
    }
    std::set<uint64_t> pinned;
    for (const uint64_t offset : made) {
      const uint64_t page = offset / abi::kMemoryPageSize / shape.pages;
      if (!pinned.insert(page).second) meter.free(offset);
    }
  }
  EXPECT_LE(heap_bytes(*meter.memory), meter.promise(0));
  EXPECT_EQ(check_text(*meter.memory), "");
}

TEST(MemoryBound, EveryOtherLargeBlockIsFreed) {
  Meter meter;
  std::vector<uint64_t> live;
  for (int i = 0; i < 256; ++i) live.push_back(meter.allocate(kMiB));
  for (size_t i = 0; i < live.size(); i += 2) meter.free(live[i]);
  for (int i = 0; i < 64; ++i) meter.allocate(2 * kMiB);
  EXPECT_LE(heap_bytes(*meter.memory), 2 * meter.large_peak() + 32 * kMiB);
  // The holes between are given back to the system: what it holds is near to what lives.
  struct stat status {};
  ASSERT_EQ(fstat(meter.memory->file().get(), &status), 0);
  EXPECT_LE(static_cast<uint64_t>(status.st_blocks) * 512, meter.large_peak() + 32 * kMiB);
}

TEST(MemoryBound, ABlockThatDoublesByCopying) {
  Meter meter;
  uint64_t old = meter.allocate(64 * 1024);
  for (uint64_t bytes = 128 * 1024; bytes <= 512 * kMiB; bytes *= 2) {
    const uint64_t next = meter.allocate(bytes);
    meter.free(old);
    old = next;
  }
  EXPECT_LE(heap_bytes(*meter.memory), 3 * 512 * kMiB);
}

TEST(MemoryBound, AllFreedIsOneRunButOneSpanAClass) {
  Meter meter;
  std::vector<uint64_t> live;
  std::mt19937_64 random(test_seed());
  for (int i = 0; i < 100'000; ++i) live.push_back(meter.allocate(random() % 2000));
  for (const uint64_t offset : live) meter.free(offset);
  const uint64_t heap = heap_bytes(*meter.memory);
  const Result<uint64_t> large = meter.memory->allocate(heap * 3 / 4);
  ASSERT_TRUE(large) << large.error().text();
  EXPECT_LE(heap_bytes(*meter.memory), heap * 2);
}

}  // namespace
}  // namespace outlive::client
