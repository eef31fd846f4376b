#include "kho/snapshot.h"

#include <sys/sendfile.h>
#include <unistd.h>

#include "base/sys.h"
#include "kho/arena.h"

namespace outlive::kho {
namespace {

// sendfile(2) moves the position of the file that it writes to, never of the one it reads.
Status copy_extent(BorrowedFd from, BorrowedFd to, off_t begin, off_t end) {
  if (::lseek(to.get(), begin, SEEK_SET) != begin) return fail_errno("arena: seek in the copy");
  for (off_t at = begin; at < end;) {
    const ssize_t sent = ::sendfile(to.get(), from.get(), &at, static_cast<size_t>(end - at));
    if (sent == -1) return fail_errno("arena: copying");
    if (sent == 0) return fail(EIO, "arena: it became shorter");
  }
  return {};
}

}  // namespace

Result<UniqueFd> snapshot(BorrowedFd arena) {
  const struct stat facts = TRY(sys::fstat(arena));
  UniqueFd copy = TRY(Arena::create_file(static_cast<uint64_t>(facts.st_size)));
  for (off_t at = 0;;) {
    const off_t begin = ::lseek(arena.get(), at, SEEK_DATA);
    if (begin == -1 && errno == ENXIO) return copy;  // holes to the end
    if (begin == -1) return fail_errno("arena: looking for data");
    const off_t end = ::lseek(arena.get(), begin, SEEK_HOLE);
    if (end == -1) return fail_errno("arena: looking for holes");
    TRY(copy_extent(arena, copy, begin, end));
    at = end;
  }
}

}  // namespace outlive::kho
