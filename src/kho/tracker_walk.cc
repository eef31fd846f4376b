#include "kho/tracker_walk.h"

#include <bit>

namespace outlive::kho {

namespace {

constexpr uint64_t kSlots = uint64_t{1} << abi::kTrackerLevelBits;

class Walker {
 public:
  Walker(const View& view, const std::function<bool(uint64_t)>& is_node, TrackerWalk& walk)
      : view_(view), is_node_(is_node), walk_(walk) {}

  // Depth is bounded by the levels, width by each page being visited once.
  Status visit(uint64_t page, unsigned level, uint64_t prefix) {
    const uint64_t* words = view_.object<uint64_t>(Phys::of_page(page));
    uint32_t population = 0;
    if (level == 0) {
      for (uint64_t i = 0; i < kBitmapWords; ++i) {
        const uint64_t word = load_word(words + i);
        // Most words of a small arena's bitmaps are empty, and std::popcount is a call.
        if (word != 0) population += static_cast<uint32_t>(std::popcount(word));
      }
      walk_.leaves.push_back({prefix, page});
      walk_.population[page] = population;
      return {};
    }
    for (uint64_t slot = 0; slot < kSlots; ++slot) {
      const uint64_t child = load_word(words + slot);
      if (child == 0) continue;
      ++population;
      TRY(check(page, slot, child));
      TRY(visit(child >> abi::kPageShift, level - 1, prefix << abi::kTrackerLevelBits | slot));
    }
    walk_.population[page] = population;
    return {};
  }

  Status check(uint64_t page, uint64_t slot, uint64_t child) {
    const uint64_t at = (page << abi::kPageShift) + slot * sizeof(uint64_t);
    if (child % abi::kPageSize != 0 || view_.at(Phys{child}, abi::kPageSize) == nullptr) {
      return fail(EUCLEAN, "tracker entry at {:#x}: {:#x} is not a page", at, child);
    }
    if (!is_node_(child >> abi::kPageShift)) {
      return fail(EUCLEAN, "tracker entry at {:#x}: page {:#x} is not a tracker page", at, child);
    }
    if (!walk_.population.try_emplace(child >> abi::kPageShift, 0).second) {
      return fail(EUCLEAN, "tracker entry at {:#x}: page {:#x} is reached twice", at, child);
    }
    return {};
  }

 private:
  const View& view_;
  const std::function<bool(uint64_t)>& is_node_;
  TrackerWalk& walk_;
};

}  // namespace

Result<TrackerWalk> walk_tracker(const View& view, Phys root,
                                 const std::function<bool(uint64_t page)>& is_node) {
  TrackerWalk walk;
  if (root.value % abi::kPageSize != 0 || view.at(root, abi::kPageSize) == nullptr ||
      !is_node(root.page())) {
    return fail(EUCLEAN, "tracker root {:#x} is not a tracker page", root.value);
  }
  walk.population.emplace(root.page(), 0);
  TRY(Walker(view, is_node, walk).visit(root.page(), abi::kTrackerLevels, 0));
  return walk;
}

uint64_t tracker_difference(const View& view, const TrackerWalk& walk, const KeySet& expected) {
  uint64_t different = 0;
  uint64_t matched = 0;
  for (const TrackerWalk::Leaf& leaf : walk.leaves) {
    const uint64_t* words = view.object<uint64_t>(Phys::of_page(leaf.page));
    const auto wanted = expected.bitmaps().find(leaf.prefix);
    const bool known = wanted != expected.bitmaps().end();
    matched += known;
    for (uint64_t i = 0; i < kBitmapWords; ++i) {
      const uint64_t want = known ? (*wanted->second)[i] : 0;
      different += static_cast<uint64_t>(std::popcount(load_word(words + i) ^ want));
    }
  }
  if (matched == expected.bitmaps().size()) return different;
  std::unordered_map<uint64_t, bool> present;
  for (const TrackerWalk::Leaf& leaf : walk.leaves) present[leaf.prefix] = true;
  for (const auto& [prefix, bitmap] : expected.bitmaps()) {
    if (present.contains(prefix)) continue;
    for (const uint64_t word : *bitmap) different += static_cast<uint64_t>(std::popcount(word));
  }
  return different;
}

}  // namespace outlive::kho
