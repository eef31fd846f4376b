// Memory::populate: the page tables of the writable mapping, made before they are needed. A page
// that is first touched in the blackout costs a fault there: some 200 ms a GiB in all.
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "client/memory.h"

namespace outlive::client {
namespace {

constexpr size_t kWindow = size_t{256} << 20;

// Populating for writing makes entries that need no further fault; it allocates nothing here,
// because the range is in the file already.
Status populate_range(std::byte* from, size_t bytes) {
  while (madvise(from, bytes, MADV_POPULATE_WRITE) != 0) {
    if (errno != EINTR && errno != EAGAIN) return fail_errno("MADV_POPULATE_WRITE");
  }
  return {};
}

}  // namespace

Status Memory::populate() {
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t all = size();
  std::vector<unsigned char> present;
  for (size_t start = 0; start < all; start += kWindow) {
    const size_t bytes = std::min(kWindow, all - start);
    std::byte* window = writable_view_.data() + start;
    // Holes (the rest of the page table, memory that was given back) must stay holes, and pages
    // that are allocated but were never touched aren't worth clearing now: mincore() shows neither.
    // Not with SEEK_DATA: the file's position is shared with everyone who has it open.
    present.assign(bytes / page, 0);
    if (mincore(window, bytes, present.data()) != 0) return fail_errno("mincore");
    for (size_t i = 0; i < present.size();) {
      size_t end = i;
      while (end < present.size() && (present[end] & 1)) ++end;
      if (end > i) TRY(populate_range(window + i * page, (end - i) * page));
      i = std::max(end, i + 1);
    }
  }
  return {};
}

}  // namespace outlive::client
