// The file descriptor table that keeper, spare, worker and closer share: its size, what is open in
// it, and what nobody knows.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace outlive::machine {

struct FdLimit {
  uint64_t before = 0;  // soft limit as it was: what services get
  uint64_t now = 0;
};

// Raises the soft RLIMIT_NOFILE to the hard one, or to `wanted` if that is not 0 (EINVAL: above the
// hard one), and makes the table that large at once: growing a shared one later stalls everyone for
// up to 30 ms. Before the first clone.
Result<FdLimit> grow_fd_table(uint64_t wanted = 0);

uint64_t soft_fd_limit();

// Where more descriptors may come than the soft limit allows: raised as long as this lives, and
// then as it was, for it is what services get.
class RaisedFdLimit {
 public:
  RaisedFdLimit();
  ~RaisedFdLimit();
  RaisedFdLimit(const RaisedFdLimit&) = delete;

 private:
  uint64_t before_;
};

// Open fds of this process, lowest first. About 60 ns a number; opens nothing. `sure` (sorted):
// these are, and aren't asked for.
std::vector<BorrowedFd> list_open_fds(std::span<const BorrowedFd> sure = {});
// How many are open: at once on Linux 6.2 and later, else counted.
size_t count_open_fds();

struct OrphanCount {
  size_t adopted = 0;
  size_t closed = 0;
};
// Closes every open fd from `first` on that is not in `named` (sorted) and that `adopt` doesn't
// take (true: the callee owns it now). Others are closed by close_range over the gaps. Only while
// no other process of the table opens anything: before WorkerState::kServing. What is closed here
// may block as any close(2); at a worker's start nobody is served yet. `sure`: as above.
Result<OrphanCount> close_orphans(std::span<const BorrowedFd> named, BorrowedFd first,
                                  const std::function<bool(BorrowedFd)>& adopt,
                                  std::span<const BorrowedFd> sure = {});

}  // namespace outlive::machine
