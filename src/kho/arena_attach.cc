// Arena::attach: takes an inherited image over.
//
//   1. validate all of it, reading only (kho/image.h); a bad one is left as it is
//   2. rebuild what lives in the heap: free pages, tracker counts
//   3. give back what was begun (INTENT) or half freed (DYING), and tracker pages without a tree
//   4. correct the tracker by the descriptors
//   5. give back subtree blobs that the root FDT doesn't name
//
// Killed in 3 to 5, the next attach goes on: each step is made of the stores that a living arena
// does.
#include <unordered_set>

#include "kho/arena.h"
#include "kho/image.h"
#include "kho/pages.h"
#include "kho/tracker.h"

namespace outlive::kho {

class AttachWork {
 public:
  static Result<std::unique_ptr<Arena>> run(BorrowedFd file, AttachReport* report);

 private:
  AttachWork(Pages& pages, Tracker& tracker, const ImageFacts& facts)
      : pages_(pages), tracker_(tracker), facts_(facts) {}

  void rebuild_heap();
  void give_back_begun();
  void give_back_folio(uint64_t head);
  void give_back_tracker_pages();
  static uint64_t give_back_blobs(Arena& arena, const ImageFacts& facts);

  Pages& pages_;
  Tracker& tracker_;
  const ImageFacts& facts_;
};

Result<std::unique_ptr<Arena>> Arena::attach(BorrowedFd file, AttachReport* report) {
  return AttachWork::run(file, report);
}

Result<std::unique_ptr<Arena>> AttachWork::run(BorrowedFd file, AttachReport* report) {
  const struct stat stat = TRY(sys::fstat(file));
  if (!S_ISREG(stat.st_mode)) return fail(EINVAL, "arena: not a file");
  const int seals = TRY(sys::get_seals(file).context("arena: the file can't be sealed"));
  const auto size = static_cast<uint64_t>(stat.st_size);
  if (size < kMinPages * abi::kPageSize || size % abi::kPageSize != 0) {
    return fail(EUCLEAN, "arena: {} bytes are no arena's size", size);
  }
  std::unique_ptr<Pages> pages = TRY(Pages::map(file, size));
  const ImageFacts facts = TRY(check_image(pages->view()));
  TRY(check_unused_table(file, pages->view()));

  // From here it is ours, and modified.
  if ((seals & F_SEAL_SHRINK) == 0) TRY(sys::add_seals(file, F_SEAL_SHRINK | F_SEAL_GROW));
  auto tracker = std::make_unique<Tracker>(*pages);
  AttachWork work(*pages, *tracker, facts);
  work.rebuild_heap();
  work.give_back_begun();
  work.give_back_tracker_pages();
  const uint64_t corrections = TRY(tracker->correct(facts.walk, facts.expected));
  std::unique_ptr<Arena> arena(new Arena(std::move(pages), std::move(tracker)));
  const uint64_t blobs = give_back_blobs(*arena, facts);
  arena->pages_->trim();
  arena->pages_->set_header_word(offsetof(abi::ArenaHeader, epoch), arena->epoch() + 1);
  if (report != nullptr) {
    report->live_pages = facts.live_pages;
    report->reclaimed_folios = facts.begun.size() + blobs;
    report->tracker_corrections = corrections;
  }
  return arena;
}

void AttachWork::rebuild_heap() {
  pages_.adopt_high_water();
  for (const Run& run : facts_.free) pages_.adopt_free(run.first, run.end);
  tracker_.adopt(facts_.tracker_root, facts_.walk);
}

void AttachWork::give_back_begun() {
  for (const uint64_t head : facts_.begun) give_back_folio(head);
}

// A folio that was being cut has heads inside: DYING covers them until they are gone.
void AttachWork::give_back_folio(uint64_t head) {
  const uint64_t descriptor = pages_.descriptor(head);
  const unsigned order = abi::descriptor_order(descriptor);
  pages_.set_descriptor(
      head, abi::make_descriptor(abi::PageState::kDying, order, abi::descriptor_owner(descriptor),
                                 abi::descriptor_tag(descriptor)));
  for (uint64_t page = head + 1; page < head + order_pages(order); ++page) {
    if (pages_.descriptor(page) != 0) pages_.set_descriptor(page, 0);
  }
  pages_.free(head, descriptor);
}

void AttachWork::give_back_tracker_pages() {
  for (const uint64_t page : facts_.tracker) {
    if (!facts_.walk.population.contains(page)) pages_.free(page, pages_.descriptor(page));
  }
}

uint64_t AttachWork::give_back_blobs(Arena& arena, const ImageFacts& facts) {
  std::unordered_set<uint64_t> named;
  for (const Subtree& subtree : facts.root_fdt.subtrees) {
    if (const auto folio = arena.folio_of(subtree.data)) named.insert(folio->head.page());
  }
  uint64_t freed = 0;
  for (const uint64_t head : facts.blobs) {
    if (named.contains(head)) continue;
    arena.free(Phys::of_page(head));
    ++freed;
  }
  return freed;
}

}  // namespace outlive::kho
