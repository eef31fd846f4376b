#include "machine/process/killed.h"

#include <poll.h>
#include <stdlib.h>

#include "base/sys.h"

namespace outlive::machine {
namespace {

// proc(5): "Pid:\t123", -1 of a process that has been waited for. 0: can't be read.
pid_t pid_of(BorrowedFd pidfd) {
  constexpr std::string_view kPid = "\nPid:";
  const Result<std::string> text = sys::read_file(fmt::format("/proc/self/fdinfo/{}", pidfd.get()));
  const size_t at = text ? text->find(kPid) : std::string::npos;
  return at == std::string::npos ? 0 : atoi(text->c_str() + at + kPid.size());
}

}  // namespace

bool is_past_harm(BorrowedFd pidfd) {
  pollfd dead{pidfd.get(), POLLIN, 0};
  if (::poll(&dead, 1, 0) == 1) return true;
  const pid_t pid = pid_of(pidfd);
  if (pid <= 0) return true;
  const Result<std::string> stat = sys::read_file(fmt::format("/proc/{}/stat", pid));
  const size_t end = stat ? stat->rfind(") ") : std::string::npos;
  return end == std::string::npos || stat->compare(end + 2, 1, "D") == 0;
}

}  // namespace outlive::machine
