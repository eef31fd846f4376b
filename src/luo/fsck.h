// fsck: every page, record, descriptor and index checked against each other, both ways. Reads only;
// between two requests.
//
//   fsck.cc          records: slots, sessions, files, holders, quotas, what names what
//   fsck_pages.cc    pages: each is some record's, and each that a record names is preserved
//   fsck_image.h     the same for a file that nobody serves from, and its repair
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "kho/fsck.h"
#include "luo/core.h"

namespace outlive::luo {

using kho::Finding;

struct Findings {
  std::vector<Finding> lines;  // empty: clean
  uint64_t pages = 0;
  uint64_t files = 0;
  uint64_t sessions = 0;
  uint64_t fds = 0;

  bool clean() const { return lines.empty(); }
  // Not derived: an attach doesn't put it right.
  void add(std::string text) { lines.push_back({std::move(text), false}); }
  void add_derived(std::string text) { lines.push_back({std::move(text), true}); }
};

// `is_open`: whether a number is an open fd in the table.
Findings fsck(Core& core, const std::function<bool(BorrowedFd)>& is_open);
// The pages' part of it.
void fsck_pages(Core& core, Findings& findings);
// Open fds of the table that nobody names: no record, and none of `own` (sorted).
void fsck_fds(Core& core, const std::vector<BorrowedFd>& open, const std::vector<BorrowedFd>& own,
              const std::function<std::string(BorrowedFd)>& describe, Findings& findings);

}  // namespace outlive::luo
