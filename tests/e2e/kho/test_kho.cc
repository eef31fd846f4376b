// A user of KHO and of nothing else: stage 1 preserves folios of every order, a range and scattered
// memory, all with checksums, under a subtree of its own, and execs itself with the arena's fd;
// stage 2 attaches, restores, verifies, removes, and finds the arena as empty as a new one.
//
// Run without arguments; the last line says how it went, the exit status too.
#include <unistd.h>
#include <xxhash.h>

#include <charconv>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "base/sys.h"
#include "kho/arena.h"
#include "kho/blocks.h"
#include "kho/dump.h"
#include "kho/ranges.h"
#include "kho/root_fdt.h"
#include "kho/scattered.h"

namespace outlive::kho {
namespace {

constexpr uint64_t kArenaBytes = 256 << 20;
constexpr uint16_t kOwner = abi::kOwnerFirstUser;
constexpr char kSubtree[] = "test-kho";
constexpr unsigned kMaxTestOrder = 11;
constexpr uint64_t kRangePages = 1357;
constexpr size_t kScattered = 1200;

// What stage 1 leaves for stage 2: the subtree is this, and it leads to blocks of Item.
struct Root {
  uint64_t used_pages;  // of the arena before stage 1
  uint64_t items;       // first block
  Phys range;
  uint64_t range_sum;
  abi::ScatteredMemory scattered;
};
struct Item {
  Phys folio;
  uint64_t order;
  uint64_t sum;
};
struct Sum {
  uint64_t value;
};

uint64_t sum_of(const Arena& arena, Phys start, uint64_t bytes) {
  return XXH3_64bits(arena.at(start, bytes), bytes);
}

// Different bytes everywhere; gives their checksum.
uint64_t fill(const Arena& arena, Phys start, uint64_t bytes) {
  auto* words = reinterpret_cast<uint64_t*>(arena.at(start, bytes));
  uint64_t state = start.value + 1;
  for (uint64_t i = 0; i < bytes / 8; ++i) {
    state = state * 6364136223846793005 + 1442695040888963407;
    words[i] = state;
  }
  return sum_of(arena, start, bytes);
}

Status preserve_folios(Arena& arena, Root& root) {
  BlockWriter items(arena, kOwner, sizeof(Item));
  for (unsigned order = 0; order <= kMaxTestOrder; ++order) {
    for (int copy = 0; copy < 3; ++copy) {
      Item item{};
      item.folio = TRY(arena.alloc(order, kOwner, order));
      item.order = order;
      item.sum = fill(arena, item.folio, order_bytes(order));
      TRY(arena.preserve(item.folio));
      TRY(items.append(item));
    }
  }
  const Phys first = TRY(items.commit());
  root.items = first.value;
  return {};
}

Status preserve_rest(Arena& arena, Root& root) {
  root.range = TRY(alloc_range(arena, kRangePages, kOwner));
  root.range_sum = fill(arena, root.range, kRangePages * abi::kPageSize);
  TRY(preserve_range(arena, root.range, kRangePages));
  // Each page's first word is the checksum of the rest of it.
  std::vector<Phys> pages;
  for (size_t i = 0; i < kScattered; ++i) {
    const Phys page = TRY(arena.alloc(0, kOwner));
    fill(arena, page, abi::kPageSize);
    arena.object<Sum>(page)->value =
        sum_of(arena, Phys{page.value + sizeof(Sum)}, abi::kPageSize - sizeof(Sum));
    pages.push_back(page);
  }
  root.scattered = TRY(preserve_scattered(arena, pages, 0, kOwner));
  return {};
}

Status stage_one(const char* self) {
  const UniqueFd file = TRY(Arena::create_file(kArenaBytes));
  const std::unique_ptr<Arena> arena = TRY(Arena::create(file));
  Root root{};
  root.used_pages = arena->used_pages();
  TRY(preserve_folios(*arena, root));
  TRY(preserve_rest(*arena, root));
  TRY(RootFdt(*arena).add_subtree_blob(kSubtree, std::as_bytes(std::span(&root, 1))));
  TRY(arena->alloc(4, kOwner));  // not preserved: the successor must not find it
  const ArenaDump dump = TRY(dump_file(file, true));
  std::printf("stage 1: %zu folios, %llu pages, digest %s\n", dump.folios.size(),
              static_cast<unsigned long long>(dump.live_pages), dump.digest.c_str());
  std::fflush(stdout);
  TRY(sys::set_cloexec(file, false));
  const std::string number = std::to_string(file.get());
  ::execl(self, self, "--stage2", number.c_str(), dump.digest.c_str(), nullptr);
  return fail_errno("exec");
}

Status verify_folios(Arena& arena, const Root& root) {
  std::vector<Item> items;
  TRY(read_blocks(arena, kOwner, Phys{root.items}, sizeof(Item), 1000,
                  [&](std::span<const std::byte> bytes) -> Status {
                    Item& item = items.emplace_back();
                    std::memcpy(&item, bytes.data(), sizeof(item));
                    return {};
                  }));
  if (items.size() != 3 * (kMaxTestOrder + 1)) return fail(EUCLEAN, "{} items", items.size());
  for (const Item& item : items) {
    const uint64_t bytes = order_bytes(static_cast<unsigned>(item.order));
    if (!arena.is_live(item.folio, kOwner, bytes) || sum_of(arena, item.folio, bytes) != item.sum) {
      return fail(EUCLEAN, "folio of order {} at {:#x} is not what it was", item.order,
                  item.folio.value);
    }
    TRY(arena.restore(item.folio));
    arena.free(item.folio);
  }
  return free_blocks(arena, kOwner, Phys{root.items}, sizeof(Item));
}

Status verify_rest(Arena& arena, const Root& root) {
  if (sum_of(arena, root.range, kRangePages * abi::kPageSize) != root.range_sum) {
    return fail(EUCLEAN, "the range is not what it was");
  }
  TRY(restore_range(arena, root.range, kRangePages));
  TRY(free_range(arena, root.range, kRangePages));
  const std::vector<Phys> pages = TRY(restore_scattered(arena, root.scattered));
  if (pages.size() != kScattered) return fail(EUCLEAN, "{} scattered pages", pages.size());
  for (const Phys page : pages) {
    const uint64_t sum =
        sum_of(arena, Phys{page.value + sizeof(Sum)}, abi::kPageSize - sizeof(Sum));
    if (sum != arena.object<Sum>(page)->value) {
      return fail(EUCLEAN, "scattered page {:#x} is not what it was", page.value);
    }
    arena.free(page);
  }
  return {};
}

Status stage_two(BorrowedFd file, const std::string& digest) {
  AttachReport report;
  const std::unique_ptr<Arena> arena = TRY(Arena::attach(file, &report));
  const ArenaDump found = TRY(dump(arena->view(), true));
  if (found.digest != digest) return fail(EUCLEAN, "digest {}, not {}", found.digest, digest);
  if (report.reclaimed_folios != 1 || report.tracker_corrections != 0) {
    return fail(EUCLEAN, "{} folios given back, {} corrections of the tracker",
                report.reclaimed_folios, report.tracker_corrections);
  }
  RootFdt root_fdt(*arena);
  const auto subtree = root_fdt.find_subtree(kSubtree);
  if (!subtree || subtree->size != sizeof(Root)) return fail(ENOENT, "no subtree '{}'", kSubtree);
  Root root;
  std::memcpy(&root, arena->at(subtree->data, sizeof(root)), sizeof(root));
  TRY(verify_folios(*arena, root));
  TRY(verify_rest(*arena, root));
  TRY(root_fdt.remove_subtree_blob(kSubtree));
  const ArenaDump empty = TRY(dump(arena->view(), false));
  if (!empty.folios.empty() || !empty.subtrees.empty() || empty.tracker_difference != 0 ||
      empty.begun_folios != 0 || arena->used_pages() != root.used_pages) {
    return fail(EUCLEAN, "the arena isn't empty: {} folios, {} pages used, {} before",
                empty.folios.size(), arena->used_pages(), root.used_pages);
  }
  return {};
}

Status run(int argc, char** argv) {
  if (argc != 4 || std::string_view(argv[1]) != "--stage2") return stage_one("/proc/self/exe");
  int number = -1;
  std::from_chars(argv[2], argv[2] + std::strlen(argv[2]), number);
  const UniqueFd file(number);
  return stage_two(file, argv[3]);
}

}  // namespace
}  // namespace outlive::kho

int main(int argc, char** argv) {
  outlive::Status status = outlive::kho::run(argc, argv);
  if (status) {
    std::puts("test_kho: OK");
    return 0;
  }
  std::printf("test_kho: FAILED %s\n", status.error().text().c_str());
  return 1;
}
