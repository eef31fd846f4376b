// Validation of an arena that somebody else left: nothing in it is believed before this has read
// all of its structure. It only reads; attach, dump and fsck go by what it found.
#pragma once

#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "kho/key_set.h"
#include "kho/root_fdt_format.h"
#include "kho/tracker_walk.h"
#include "kho/view.h"

namespace outlive::kho {

struct Run {
  uint64_t first = 0;
  uint64_t end = 0;
};

// What is in a sound image.
struct ImageFacts {
  uint64_t high_water = 0;
  Phys tracker_root;
  Phys root_fdt_page;
  RootFdtContents root_fdt;
  std::vector<Run> free;          // below the high water
  std::vector<uint64_t> begun;    // heads of INTENT and DYING folios
  std::vector<uint64_t> tracker;  // tracker pages, reached or not
  std::vector<uint64_t> blobs;    // heads of LIVE folios of kOwnerSubtree
  KeySet expected;                // what the tracker ought to hold
  TrackerWalk walk;               // what it holds
  uint64_t live_pages = 0;        // preserved
  uint64_t live_folios = 0;
};

// EPROTO: not an arena, or of another version. EUCLEAN: damaged. The message says where.
Result<ImageFacts> check_image(const View& view);
// What check_image can't see without touching pages: that the file has nothing in the part of the
// descriptor table above the high water.
Status check_unused_table(BorrowedFd file, const View& view);

// The folio that the address is in, by the descriptors below the high water; 0: none.
uint64_t descriptor_at(const View& view, uint64_t page);
uint64_t folio_head(const View& view, uint64_t high_water, Phys address);

}  // namespace outlive::kho
