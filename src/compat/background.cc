#include "compat/background.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/sys.h"

namespace outlive::compat {

void let_go_of_streams() {
  const Result<UniqueFd> null = sys::open("/dev/null", O_RDWR);
  if (!null) return;
  for (int stream = 0; stream <= 2; ++stream) {
    const Status put = sys::dup3(*null, stream, 0);
    static_cast<void>(put);
  }
}

void go_to_background(int kept) {
  let_go_of_streams();
  static_cast<void>(::chdir("/"));
  const auto last = static_cast<unsigned>(-1);
  const auto at = static_cast<unsigned>(kept);
  const Status below = kept > 3 ? sys::close_range(3, at - 1, 0) : Status();
  const Status above = sys::close_range(kept < 3 ? 3 : at + 1, last, 0);
  static_cast<void>(below);
  static_cast<void>(above);
}

}  // namespace outlive::compat
