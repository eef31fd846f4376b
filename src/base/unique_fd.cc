#include "base/unique_fd.h"

#include <errno.h>
#include <unistd.h>

namespace outlive {

void UniqueFd::reset() {
  if (number_ < 0) return;
  const int kept = errno;
  ::close(number_);  // EINTR on Linux: the descriptor is gone all the same (close(2))
  errno = kept;
  number_ = -1;
}

}  // namespace outlive
