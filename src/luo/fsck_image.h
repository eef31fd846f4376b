// fsck of a saved arena that nobody serves from, and its repair.
//
//   Happy path:    fsck_image(file, context) -> findings; none: clean.
//                  repair_image(path, context) puts right what is derived, and says what it found.
//   Unhappy path:  what attach would refuse is one finding that can't be repaired. What isn't
//   derived
//                  from the records is listed and left: no repair invents a record.
//
// How it is known that a repair is safe: it is what attach does to every image it takes over, done
// to a copy. What differs afterwards is what is found.
#pragma once

#include <string>

#include "luo/fsck.h"

namespace outlive::luo {

struct ImageFsck {
  Findings findings;
  bool refused = false;  // attach would refuse it
  UniqueFd settled;      // a private copy with everything derived put right; none: refused
};

// Of `context` handlers and clock are used; no file is looked at, and none is open. Only reads.
// Error: the file can't be read.
Result<ImageFsck> fsck_image(BorrowedFd image, const Context& context);

struct Repair {
  ImageFsck before;
  std::string saved;      // where the image is as it was; empty: nothing was to be done
  uint64_t repaired = 0;  // findings that are gone
};
// Saves the image as PATH.before-repair (0600; EEXIST if there is one), then replaces PATH by the
// repaired one, in one rename. Nothing derived is wrong, or attach would refuse it: nothing is
// written. EBUSY: the file changed meanwhile; ELOOP: a symbolic link. An error leaves it as it was.
Result<Repair> repair_image(const std::string& path, const Context& context);

}  // namespace outlive::luo
