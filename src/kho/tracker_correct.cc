// Tracker at attach: making an inherited tree agree with the descriptors.
#include <bit>

#include "kho/tracker.h"

namespace outlive::kho {

Result<uint64_t> Tracker::correct(const TrackerWalk& walk, const KeySet& expected) {
  uint64_t corrections = 0;
  std::unordered_map<uint64_t, bool> present;
  for (const TrackerWalk::Leaf& leaf : walk.leaves) {
    const auto wanted = expected.bitmaps().find(leaf.prefix);
    corrections +=
        correct_leaf(leaf, wanted == expected.bitmaps().end() ? nullptr : wanted->second.get());
    present[leaf.prefix] = true;
  }
  // Before bits are added: what is freed here may be the room that they need.
  corrections += prune(root_, abi::kTrackerLevels);
  for (const auto& [prefix, bitmap] : expected.bitmaps()) {
    if (present.contains(prefix)) continue;
    for (uint64_t bit = 0; bit <= (uint64_t{1} << abi::kTrackerBitmapBits) - 1; ++bit) {
      if (((*bitmap)[bit >> 6] >> (bit & 63) & 1) == 0) continue;
      const Change change = TRY(prepare(prefix << abi::kTrackerBitmapBits | bit));
      commit(change);
      ++corrections;
    }
  }
  return corrections;
}

uint64_t Tracker::correct_leaf(const TrackerWalk::Leaf& leaf, const KeySet::Bitmap* wanted) {
  uint64_t corrections = 0;
  uint32_t population = 0;
  uint64_t* words = pages_.words(leaf.page);
  for (uint64_t i = 0; i < kBitmapWords; ++i) {
    const uint64_t want = wanted != nullptr ? (*wanted)[i] : 0;
    if (want != 0) population += static_cast<uint32_t>(std::popcount(want));
    if (words[i] == want) continue;
    corrections += static_cast<uint64_t>(std::popcount(words[i] ^ want));
    store_word(words + i, want);
  }
  population_[leaf.page] = population;
  return corrections;
}

// Unlinks and frees the empty nodes below this one.
uint64_t Tracker::prune(uint64_t page, unsigned level) {
  uint64_t pruned = 0;
  uint64_t* words = pages_.words(page);
  for (uint64_t slot = 0; slot < kBitmapWords; ++slot) {
    const uint64_t child = words[slot] >> abi::kPageShift;
    if (child == 0) continue;
    if (level > 1) pruned += prune(child, level - 1);
    if (population_[child] > 0) continue;
    store_word(words + slot, 0);
    --population_[page];
    free_node(child);
    ++pruned;
  }
  return pruned;
}

}  // namespace outlive::kho
