// DOC: a service's memory region (outlive_memory_*), compatible string "outlive-memory-v1".
// The ABI may change, if the change includes a new version in the compatible string.
// Compatibility is guaranteed only between the versions listed here: outlive-memory-v1.
//
// One memfd; every reference in it is a file offset or a page number (file offset / 64 KiB), so it
// means the same at every address and in every process. Native little endian.
//
//   0          4096              first_page * 64 KiB                     + pages * 64 KiB
//   | header   | page table      | heap: pages of 64 KiB                 | end of file
//
// The page table has room for max_pages entries; only those of the `pages` pages that exist are
// allocated, the rest is a hole. Each page is a part of one of
//   free run     head {kFree, run = pages}; when longer than one page its last is {kFreeTail,
//                run = head}. On the list of its bin. Two free runs never touch.
//   large block  head {kLarge, run = pages}
//   span         head {kSpan, size class}; its other pages are {kSpanTail, run = head}. Its slots
//                have one size: `map` has a bit a free slot. With more than 64 slots the span's
//                first kMemoryMapBytes bytes are that map (64 words), and `map` has a bit a word
//                that isn't 0.
// All other entries have kind kInterior and are otherwise zero.
//
// Sizes: four classes a doubling, from 16 bytes to 56 KiB; above that, whole pages.
//
// `epoch` is odd while allocator or service are inside a change. A process that dies leaves it as
// it is: even means that everything here, and what the service guards with it, is whole.
// `crc` covers the fields above it, which never change after the region was made.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

namespace outlive::abi {

inline constexpr char kMemoryCompatible[] = "outlive-memory-v1";
inline constexpr char kMemoryCompatiblePrefix[] = "outlive-memory-v";
inline constexpr uint32_t kMemoryPageShift = 16;
inline constexpr uint64_t kMemoryPageSize = uint64_t{1} << kMemoryPageShift;
inline constexpr uint64_t kMemoryHeaderSize = 4096;
inline constexpr uint64_t kMemoryMostBytes = uint64_t{1} << 44;  // of the heap
inline constexpr uint64_t kMemoryMapBytes = 512;
inline constexpr uint32_t kMemoryClasses = 43;
inline constexpr uint32_t kMemoryBins = 256;

enum class MemoryKind : uint8_t {
  kInterior = 0,
  kFree = 1,
  kFreeTail = 2,
  kLarge = 3,
  kSpan = 4,
  kSpanTail = 5,
};

inline constexpr uint8_t kMemoryHoles = 1;  // flag of a free run: parts may not be allocated

struct MemoryPage {
  uint8_t kind;   // MemoryKind
  uint8_t clazz;  // of a span
  uint8_t flags;  // of a free run
  uint8_t reserved;
  uint32_t free;  // slots, of a span
  uint32_t run;   // length of a run, large block or span in pages; a tail: its head
  uint32_t next;  // page number; 0: none. Free run: its bin; span: the spans with free slots
  uint32_t prev;
  uint32_t reserved2;
  uint64_t map;
};
static_assert(sizeof(MemoryPage) == 32);

struct MemoryHeader {
  char compatible[32];
  char name[64];
  uint32_t page_shift;
  uint32_t classes;
  uint64_t first_page;
  uint64_t max_pages;
  uint64_t reserved[6];
  uint32_t reserved2;
  uint32_t crc;  // CRC32C of the bytes before it

  uint64_t epoch;
  uint64_t root;
  uint64_t pages;      // of the heap, that exist
  uint64_t allocated;  // bytes in blocks that are handed out
  uint64_t blocks;
  uint64_t bin_map[kMemoryBins / 64];  // a bit a bin that isn't empty
  uint32_t partial[kMemoryClasses];    // first span with a free slot; 0: none
  uint32_t reserved3;
  uint32_t bins[kMemoryBins];  // first free run; 0: none
};
static_assert(offsetof(MemoryHeader, crc) == 172);
static_assert(offsetof(MemoryHeader, epoch) == 176);
static_assert(offsetof(MemoryHeader, bin_map) == 216);
static_assert(sizeof(MemoryHeader) == 1448 && sizeof(MemoryHeader) <= kMemoryHeaderSize);

// --- sizes, part of the format -------------------------------------------------------------------

// Smallest class whose blocks have `bytes` (1 to 56 KiB).
constexpr uint32_t memory_class_of(uint64_t bytes) {
  if (bytes <= 64) return bytes == 0 ? 0 : static_cast<uint32_t>((bytes - 1) / 16);
  const uint32_t log = static_cast<uint32_t>(std::bit_width(bytes - 1)) - 1;  // 64: 6
  return 4 * (log - 6) + static_cast<uint32_t>(((bytes - 1) >> (log - 2)) & 3) + 4;
}
constexpr uint64_t memory_class_size(uint32_t clazz) {
  if (clazz < 4) return 16 * (uint64_t{clazz} + 1);
  return uint64_t{5 + clazz % 4} << (clazz / 4 - 1 + 4);
}
inline constexpr uint64_t kMemoryMostSmall = memory_class_size(kMemoryClasses - 1);

// The shape of a class's spans.
struct MemoryClass {
  uint32_t size;
  uint32_t slots;
  uint32_t head;  // bytes before the first slot
  uint32_t pages;
};
constexpr MemoryClass memory_class(uint32_t clazz) {
  const uint64_t size = memory_class_size(clazz);
  const uint64_t pages = size <= 8192 ? 1 : 4;
  const uint64_t head = pages * kMemoryPageSize / size <= 64 ? 0 : kMemoryMapBytes;
  return MemoryClass{static_cast<uint32_t>(size),
                     static_cast<uint32_t>((pages * kMemoryPageSize - head) / size),
                     static_cast<uint32_t>(head), static_cast<uint32_t>(pages)};
}

// The bin that a free run of `pages` (at least 1) is in: exact below 32, then eight a doubling.
constexpr uint32_t memory_bin_of(uint64_t pages) {
  if (pages < 32) return static_cast<uint32_t>(pages);
  const uint32_t log = static_cast<uint32_t>(std::bit_width(pages)) - 1;
  return 32 + 8 * (log - 5) + static_cast<uint32_t>((pages >> (log - 3)) & 7);
}

static_assert(kMemoryMostSmall == 56 * 1024);
static_assert(memory_class_of(64) == 3 && memory_class_of(65) == 4 && memory_class_size(4) == 80);
static_assert(memory_class_of(128) == 7 && memory_class_size(7) == 128);
static_assert(memory_class_of(129) == 8 && memory_class_size(8) == 160);
static_assert(memory_class_of(kMemoryMostSmall) == kMemoryClasses - 1);
static_assert(memory_class(0).slots == 4064 && memory_class(kMemoryClasses - 1).slots == 4);
static_assert(memory_bin_of(31) == 31 && memory_bin_of(32) == 32 && memory_bin_of(36) == 33);
static_assert(memory_bin_of(kMemoryMostBytes >> kMemoryPageShift) < kMemoryBins);

}  // namespace outlive::abi
