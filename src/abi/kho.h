// DOC: the arena and the Kexec HandOver formats in it.
// Compatible strings: arena "outlive-arena-v1", root FDT "kho-v3", reserve_mem "memblock-v1".
// The ABI may change, if the change includes a new version in the compatible string.
// Compatibility is guaranteed only between the versions listed here: outlive-arena-v1.
//
// An arena is a sparse shared file, addressed by byte offset (its "physical address"). Pages are
// 4096 bytes. Native endian (little).
//
//   page 0             ArenaHeader
//   page 1, 2          the root FDT, twice: the current one and the spare
//   page 3 ...         page descriptors, one u64 a page of the arena (flat, sparse)
//   then               pages that the allocator hands out
//
// Page descriptor: ONE u64, THE RECORD of what a page is; it is stored atomically, so preserving a
// folio is one store. Only the first page of a folio has one; its other pages' are 0.
//
//    63       48 47      40 39     32 31            0
//   | owner u16 | order u8 | state u8|     tag u32   |
//
//   state   FREE 0     nobody's, and its bytes are zero
//           INTENT 1   handed out, not preserved: attach gives it back, zeroed
//           LIVE 2     preserved
//           DYING 3    being freed: attach finishes that (zeroes it, FREE)
//   owner   PageOwner or a kho user's own (>= kOwnerFirstUser). An owner sweeps at attach: what its
//           own records do not reach is given back.
//   tag     the owner's, opaque
//
// The page tracker and everything else here is derived from the descriptors, and recomputed at
// attach: a difference is corrected and counted (leak ledger).
//
// Page tracker, the kernel's radix tree. Key = order bit | (address >> (12 + order)); the order
// bit of order o is bit 52 - o. Level 0 is a bitmap page of 32,768 keys (bits 14:0); the five
// levels above are pages of 512 u64 addresses (9 bits each: 23:15, 32:24, 41:33, 50:42, 59:51).
// A missing level is 0. A folio of order o is one key. Tracker pages, FDT pages, header and
// descriptors (owner kOwnerMeta) are not in the tracker themselves.
//
// Blocks: chains of pages {u64 next; u64 count;} and packed entries.
// Scattered memory: chunks of one page {u64 next; u64 phys[511];}, zero-terminated, described by
// ScatteredMemory.
// Root FDT: / { compatible = "kho-v3"; preserved-memory-map = <u64>; NAME { preserved-data = <u64>;
//   blob-size = <u64>; }; }; u64 properties are native endian, as the kernel writes them.
// reserve_mem: subtree "memblock": / { compatible = "memblock-v1"; NAME { compatible =
//   "reserve-mem-v1"; start = <u64>; size = <u64>; }; };
#pragma once

#include <cstddef>
#include <cstdint>

namespace outlive::abi {

inline constexpr uint64_t kPageSize = 4096;
inline constexpr unsigned kPageShift = 12;
inline constexpr unsigned kMaxOrder = 18;  // 1 GiB folios

inline constexpr char kArenaCompatible[] = "outlive-arena-v1";
inline constexpr char kKhoCompatible[] = "kho-v3";
inline constexpr char kMemblockCompatible[] = "memblock-v1";
inline constexpr char kReserveMemCompatible[] = "reserve-mem-v1";
inline constexpr char kPropCompatible[] = "compatible";
inline constexpr char kPropMemoryMap[] = "preserved-memory-map";
inline constexpr char kPropData[] = "preserved-data";
inline constexpr char kPropBlobSize[] = "blob-size";
inline constexpr char kPropStart[] = "start";
inline constexpr char kPropSize[] = "size";
inline constexpr char kSubtreeMemblock[] = "memblock";
inline constexpr char kSubtreeLuo[] = "LUO";
inline constexpr char kSubtreeRecords[] = "outlive";
inline constexpr char kSubtreeClients[] = "clients";
inline constexpr char kSubtreeKexecMetadata[] = "kexec-metadata";

struct [[gnu::packed]] ArenaHeader {
  char compatible[32];    // kArenaCompatible
  uint64_t size;          // bytes of the arena, a multiple of 4096; never changes
  uint64_t root_fdt;      // address of the current FDT page: the one store that changes the root
  uint64_t tracker_root;  // address of the top tracker page, 0: empty
  uint64_t descriptors;   // address of the descriptor table
  uint64_t high_water;    // pages at and above were never touched
  uint64_t epoch;         // attaches so far
};
static_assert(sizeof(ArenaHeader) == 80 && offsetof(ArenaHeader, root_fdt) == 40);

enum class PageState : uint8_t { kFree = 0, kIntent = 1, kLive = 2, kDying = 3 };

enum PageOwner : uint16_t {
  kOwnerNone = 0,
  kOwnerMeta = 1,        // header, FDT pages, descriptors
  kOwnerTracker = 2,     // pages of the tracker
  kOwnerSubtree = 3,     // blobs that the root FDT names
  kOwnerReserveMem = 4,  // reserve_mem regions
  kOwnerRecords = 5,     // luo's record pages
  kOwnerClients = 6,     // clients' subtrees
  kOwnerLuoFormat = 7,   // kernel-format blocks, written at freeze and for dumps
  kOwnerHandler = 8,     // what a file handler keeps beside its record
  kOwnerTimeline = 9,
  kOwnerService = 10,  // a service's launch specification
  kOwnerFirstUser = 64,
};

constexpr uint64_t make_descriptor(PageState state, unsigned order, uint16_t owner, uint32_t tag) {
  return static_cast<uint64_t>(owner) << 48 | static_cast<uint64_t>(order) << 40 |
         static_cast<uint64_t>(state) << 32 | tag;
}
constexpr PageState descriptor_state(uint64_t d) {
  return static_cast<PageState>(d >> 32 & 0xff);
}
constexpr unsigned descriptor_order(uint64_t d) {
  return static_cast<unsigned>(d >> 40 & 0xff);
}
constexpr uint16_t descriptor_owner(uint64_t d) {
  return static_cast<uint16_t>(d >> 48);
}
constexpr uint32_t descriptor_tag(uint64_t d) {
  return static_cast<uint32_t>(d);
}

// Tracker geometry.
inline constexpr unsigned kTrackerBitmapBits = 15;  // keys a bitmap page: 1 << 15
inline constexpr unsigned kTrackerLevelBits = 9;
inline constexpr unsigned kTrackerLevels = 5;  // table levels above the bitmap
constexpr uint64_t tracker_key(uint64_t address, unsigned order) {
  return (uint64_t{1} << (52 - order)) | (address >> (kPageShift + order));
}

struct [[gnu::packed]] BlockHeader {
  uint64_t next;
  uint64_t count;
};
static_assert(sizeof(BlockHeader) == 16);

struct [[gnu::packed]] ScatteredChunk {
  uint64_t next;
  uint64_t phys[511];
};
static_assert(sizeof(ScatteredChunk) == kPageSize);

struct [[gnu::packed]] ScatteredMemory {
  uint64_t first;  // address of the first chunk
  uint32_t total_pages;
  uint16_t flags;
  uint16_t order;  // of every folio in it
};
static_assert(sizeof(ScatteredMemory) == 16);

}  // namespace outlive::abi
