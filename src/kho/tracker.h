// Tracker: the kernel's radix tree over preserved folios, in pages of the arena (abi/kho.h has its
// geometry). It is derived from the descriptors: the record of a folio is stored first, then its
// bit, and a crash between the two is put right at attach.
//
//   set    1. prepare(): allocates the missing nodes from the bitmap up, with the bit in it; no
//             room: what was allocated is freed, and nothing has changed
//          2. the caller stores the descriptor
//          3. commit(): one store links them, or sets the bit in a bitmap that is there
//   clear  clears the bit; nodes that are empty then are unlinked, lowest first, and freed. The
//   root
//          stays, so that the root FDT can name it.
//
// How many entries a node has in use is counted in the heap. No locks.
#pragma once

#include <array>
#include <unordered_map>

#include "base/result.h"
#include "kho/key_set.h"
#include "kho/pages.h"
#include "kho/tracker_walk.h"

namespace outlive::kho {

class Tracker {
 public:
  class Change {
    friend class Tracker;
    uint64_t* word = nullptr;
    uint64_t value = 0;
    uint64_t page = 0;    // the node that `word` is in
    uint64_t prefix = 0;  // of the bitmap
    unsigned fresh_count = 0;
    std::array<uint64_t, abi::kTrackerLevels> fresh{};  // new nodes, the bitmap first
  };

  explicit Tracker(Pages& pages) : pages_(pages) {}

  // For a new arena: the root. For an inherited one: what is there (counts come from `walk`).
  Status create_root();
  void adopt(Phys root, const TrackerWalk& walk);

  Result<Change> prepare(uint64_t key);
  void commit(const Change& change);
  void clear(uint64_t key);
  bool test(uint64_t key) const;

  // Makes the tracker hold just `expected`; how many bits and empty nodes had to be put right.
  Result<uint64_t> correct(const TrackerWalk& walk, const KeySet& expected);

  Phys root() const { return Phys::of_page(root_); }
  uint64_t nodes() const { return population_.size(); }

 private:
  struct Path {
    std::array<uint64_t, abi::kTrackerLevels + 1> page{};  // by level; 0: missing
  };
  Path find(uint64_t key) const;
  Result<uint64_t> new_node();
  void free_node(uint64_t page);
  Result<Change> prepare_slow(uint64_t key);
  void unlink_empty(uint64_t key);
  uint64_t correct_leaf(const TrackerWalk::Leaf& leaf, const KeySet::Bitmap* wanted);
  uint64_t prune(uint64_t page, unsigned level);
  void remember(uint64_t prefix, uint64_t page);

  Pages& pages_;
  uint64_t root_ = 0;
  std::unordered_map<uint64_t, uint32_t> population_;  // page -> entries in use
  // The bitmap used last: neighbours are mostly in the same one.
  uint64_t recent_prefix_ = ~uint64_t{0};
  uint64_t recent_page_ = 0;
  uint64_t* recent_words_ = nullptr;
  uint32_t* recent_population_ = nullptr;
};

}  // namespace outlive::kho
