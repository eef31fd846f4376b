#include "machine/kernel/foreign_fd.h"

#include <sys/syscall.h>
#include <unistd.h>

#include "base/sys.h"

namespace outlive::machine {

Result<UniqueFd> foreign_fd(pid_t pid, int number) {
  const UniqueFd process = TRY(sys::pidfd_open(pid));
  const long fd = ::syscall(SYS_pidfd_getfd, process.get(), number, 0u);
  if (fd < 0) return fail_errno(fmt::format("pid {} fd {}", pid, number));
  return UniqueFd(static_cast<int>(fd));
}

}  // namespace outlive::machine
