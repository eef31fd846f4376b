#include "machine/process/fd_table.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/sys.h"

namespace outlive::machine {
namespace {

// Linux 6.2 and later: the size of /proc/self/fd is the number of open fds. 0: not known.
size_t known_count() {
  struct stat status {};
  if (::stat("/proc/self/fd", &status) != 0 || status.st_size < 0) return 0;
  return static_cast<size_t>(status.st_size);
}

int table_size() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1024;
  // Fds above a limit that was lowered meanwhile exist, too: look as far as the hard one.
  return static_cast<int>(std::min<rlim_t>(limit.rlim_max, 1 << 20));
}

bool is_open(int number) {
  return ::fcntl(number, F_GETFD) != -1;
}

void set_soft_limit(uint64_t number) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = std::min<rlim_t>(number, limit.rlim_max);
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

uint64_t soft_fd_limit() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  return limit.rlim_cur;
}

RaisedFdLimit::RaisedFdLimit() : before_(soft_fd_limit()) {
  set_soft_limit(UINT64_MAX);
}

RaisedFdLimit::~RaisedFdLimit() {
  set_soft_limit(before_);
}

Result<FdLimit> grow_fd_table(uint64_t wanted) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return fail_errno("RLIMIT_NOFILE");
  FdLimit result{limit.rlim_cur, limit.rlim_max};
  if (wanted != 0) {
    if (wanted > limit.rlim_max) {
      return fail(EINVAL, "fd limit {}: the hard limit is {} (raise it with ulimit -Hn)", wanted,
                  limit.rlim_max);
    }
    result.now = wanted;
  }
  // No limit at all is no size for a table: the kernel's own default bound.
  result.now = std::min<uint64_t>(result.now, 1 << 20);
  limit.rlim_cur = result.now;
  if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) return fail_errno("RLIMIT_NOFILE");

  const int last = static_cast<int>(result.now) - 1;
  if (is_open(last)) return result;
  const UniqueFd null = TRY(sys::open("/dev/null", O_RDWR));
  const UniqueFd slot(::dup3(null.get(), last, O_CLOEXEC));
  if (!slot) return fail_errno("growing the fd table");
  return result;
}

std::vector<BorrowedFd> list_open_fds(std::span<const BorrowedFd> sure) {
  const size_t known = known_count();
  const int end = table_size();
  std::vector<BorrowedFd> open;
  open.reserve(known);
  // Numbers are handed out lowest first, so the search ends soon after the last open one.
  for (int number = 0; number < end && (known == 0 || open.size() < known); ++number) {
    while (!sure.empty() && sure.front().get() < number) sure = sure.subspan(1);
    const bool is_sure = !sure.empty() && sure.front().get() == number;
    if (is_sure || is_open(number)) open.push_back(BorrowedFd(number));
  }
  return open;
}

size_t count_open_fds() {
  const size_t known = known_count();
  return known != 0 ? known : list_open_fds().size();
}

Result<OrphanCount> close_orphans(std::span<const BorrowedFd> named, BorrowedFd first,
                                  const std::function<bool(BorrowedFd)>& adopt,
                                  std::span<const BorrowedFd> sure) {
  OrphanCount count;
  // A run of orphans, closed by one call: over numbers that aren't open, but never over one that
  // is named or adopted.
  unsigned run_first = 0;
  unsigned run_last = 0;
  size_t run_length = 0;
  auto end_run = [&]() -> Status {
    if (run_length == 0) return {};
    count.closed += std::exchange(run_length, 0);
    return sys::close_range(run_first, run_last, 0);
  };
  for (const BorrowedFd fd : list_open_fds(sure)) {
    if (fd < first) continue;
    const bool is_named = std::binary_search(named.begin(), named.end(), fd);
    const bool adopted = !is_named && adopt && adopt(fd);
    if (adopted) ++count.adopted;
    if (is_named || adopted) {
      TRY(end_run());
      continue;
    }
    if (run_length++ == 0) run_first = static_cast<unsigned>(fd.get());
    run_last = static_cast<unsigned>(fd.get());
  }
  TRY(end_run());
  return count;
}

}  // namespace outlive::machine
