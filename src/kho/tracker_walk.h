// Reading a page tracker, also one that nobody vouches for: every address is checked before it is
// used, and a node that is reached twice (a cycle, a shared page) ends the walk with an error.
#pragma once

#include <functional>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "kho/key_set.h"
#include "kho/view.h"

namespace outlive::kho {

struct TrackerWalk {
  struct Leaf {
    uint64_t prefix = 0;  // key >> kTrackerBitmapBits
    uint64_t page = 0;    // of the bitmap
  };
  std::vector<Leaf> leaves;  // in order of prefix
  // Page -> entries in use, of every node that the root reaches, the root too.
  std::unordered_map<uint64_t, uint32_t> population;
};

// EUCLEAN, naming the table and the entry. `is_node` says which pages may be nodes.
Result<TrackerWalk> walk_tracker(const View& view, Phys root,
                                 const std::function<bool(uint64_t page)>& is_node);

// Keys that only one of the two has.
uint64_t tracker_difference(const View& view, const TrackerWalk& walk, const KeySet& expected);

}  // namespace outlive::kho
