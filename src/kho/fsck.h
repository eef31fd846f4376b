// fsck of the memory layer: whether the pages of an arena agree with each other. Reads only: a live
// arena between two requests, or an image.
//
// luo/fsck.h goes on from here with what the pages are for.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "kho/view.h"

namespace outlive::kho {

struct Finding {
  std::string text;      // one line: what, and what it means
  bool derived = false;  // of what is derived from the records: attach puts it right
};

// Appends to `findings`. `file` is what `view` maps: its holes are free pages that are not looked
// at, for a look would allocate them. Error (EPROTO, EUCLEAN): attach would refuse the arena, and
// nothing more can be said about it.
Status fsck(const View& view, BorrowedFd file, std::vector<Finding>& findings);

// Zeroes the free pages that aren't zero; how many. The arena must not be attached by anybody.
Result<uint64_t> zero_free_pages(BorrowedFd file);

}  // namespace outlive::kho
