#include "kho/fsck.h"

#include <unistd.h>

#include <algorithm>
#include <functional>
#include <set>

#include "base/sys.h"
#include "kho/image.h"
#include "kho/layout.h"
#include "kho/store.h"

namespace outlive::kho {
namespace {

constexpr size_t kMostLines = 20;  // of one kind

// Calls fn with the number of every free page that isn't zero. Holes of the file are zero.
Status for_each_dirty(const View& view, BorrowedFd file, const ImageFacts& facts,
                      const std::function<void(uint64_t)>& fn) {
  std::vector<Run> runs = facts.free;
  runs.push_back({facts.high_water, view.pages()});
  for (const Run& run : runs) {
    uint64_t page = run.first;
    while (page < run.end) {
      const off_t data = ::lseek(file.get(), static_cast<off_t>(page * abi::kPageSize), SEEK_DATA);
      if (data < 0 && errno != ENXIO) return fail_errno("arena: SEEK_DATA");
      if (data < 0 || static_cast<uint64_t>(data) / abi::kPageSize >= run.end) break;
      page = static_cast<uint64_t>(data) / abi::kPageSize;
      const off_t hole = ::lseek(file.get(), data, SEEK_HOLE);
      if (hole < 0) return fail_errno("arena: SEEK_HOLE");
      const uint64_t end =
          std::min(run.end, (static_cast<uint64_t>(hole) + abi::kPageSize - 1) / abi::kPageSize);
      for (; page < end; ++page) {
        const auto* words = reinterpret_cast<const uint64_t*>(view.base() + page * abi::kPageSize);
        const bool zero = std::all_of(words, words + abi::kPageSize / sizeof *words,
                                      [](uint64_t word) { return word == 0; });
        if (!zero) fn(page);
      }
    }
  }
  return {};
}

void check_tracker(const View& view, const ImageFacts& facts, std::vector<Finding>& findings) {
  if (const uint64_t keys = tracker_difference(view, facts.walk, facts.expected); keys != 0) {
    findings.push_back(
        {fmt::format("tracker: {} keys differ from the page descriptors: a successor "
                     "that reads the tracker would keep other pages",
                     keys),
         true});
  }
  for (const uint64_t page : facts.tracker) {
    if (facts.walk.population.contains(page)) continue;
    findings.push_back(
        {fmt::format("page {:#x}: a tracker page that its tree does not reach: leaked",
                     page << abi::kPageShift),
         true});
  }
  for (const auto& [page, population] : facts.walk.population) {
    if (population != 0 || Phys::of_page(page) == facts.tracker_root) continue;
    findings.push_back(
        {fmt::format("page {:#x}: an empty tracker page is kept: leaked", page << abi::kPageShift),
         true});
  }
}

void check_begun(const View& view, const ImageFacts& facts, std::vector<Finding>& findings) {
  for (const uint64_t page : facts.begun) {
    const bool dying = abi::descriptor_state(descriptor_at(view, page)) == abi::PageState::kDying;
    findings.push_back(
        {fmt::format("page {:#x}: {}", page << abi::kPageShift,
                     dying ? "half freed (DYING): a death came between"
                           : "handed out, not preserved (INTENT): a death came between"),
         true});
  }
}

void check_blobs(const View& view, const ImageFacts& facts, std::vector<Finding>& findings) {
  std::set<uint64_t> named;
  for (const Subtree& subtree : facts.root_fdt.subtrees) {
    named.insert(folio_head(view, facts.high_water, subtree.data));
  }
  for (const uint64_t head : facts.blobs) {
    if (named.contains(head)) continue;
    findings.push_back({fmt::format("page {:#x}: a subtree's blob that the root FDT does not name: "
                                    "leaked",
                                    head << abi::kPageShift),
                        true});
  }
}

}  // namespace

Status fsck(const View& view, BorrowedFd file, std::vector<Finding>& findings) {
  const ImageFacts facts = TRY(check_image(view));
  TRY(check_unused_table(file, view));
  check_tracker(view, facts, findings);
  check_begun(view, facts, findings);
  check_blobs(view, facts, findings);
  uint64_t dirty = 0;
  TRY(for_each_dirty(view, file, facts, [&](uint64_t page) {
    if (++dirty > kMostLines) return;
    findings.push_back({fmt::format("page {:#x}: free, and not zero: bytes of what was here before "
                                    "are left behind",
                                    page << abi::kPageShift),
                        true});
  }));
  if (dirty > kMostLines) {
    findings.push_back({fmt::format("{} more free pages are not zero", dirty - kMostLines), true});
  }
  return {};
}

Result<uint64_t> zero_free_pages(BorrowedFd file) {
  const struct stat status = TRY(sys::fstat(file));
  const auto size = static_cast<uint64_t>(status.st_size);
  if (size < kMinPages * abi::kPageSize) return fail(EUCLEAN, "arena: {} bytes", size);
  const sys::Mapping memory =
      TRY(sys::mmap(size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, file));
  const View view(memory.data(), size);
  const ImageFacts facts = TRY(check_image(view));
  uint64_t zeroed = 0;
  TRY(for_each_dirty(view, file, facts, [&](uint64_t page) {
    zero_bytes(memory.data() + page * abi::kPageSize, abi::kPageSize);
    ++zeroed;
  }));
  return zeroed;
}

}  // namespace outlive::kho
