#include "machine/process/window.h"

#include "base/sys.h"

namespace outlive::machine {
namespace {

constexpr int kLowest = 16;  // below: stdio, and what a service manager hands over
constexpr int kHighest = 4096;

Result<int> free_row(int length) {
  int first = kLowest;
  for (int number = kLowest; number < kHighest; ++number) {
    if (sys::get_fd_flags(BorrowedFd(number))) first = number + 1;
    if (number - first + 1 == length) return first;
  }
  return fail(EMFILE, "no row of {} free fd numbers below {}", length, kHighest);
}

}  // namespace

Result<LaunchWindow> LaunchWindow::reserve(Control& control) {
  // First, so that the row is looked for with these two open.
  const UniqueFd null = TRY(sys::open("/dev/null", O_RDWR));
  const UniqueFd unshared = TRY(sys::eventfd(0));
  const int first = TRY(free_row(static_cast<int>(kCount)));
  LaunchWindow window{BorrowedFd(first)};
  TRY(window.put(kNull, null));
  TRY(window.put(kUnshared, unshared));
  for (size_t slot = 0; slot < kUnshared; ++slot) TRY(window.put(slot, null));
  control.block().window_first = first;
  control.block().window_count = kCount;
  return window;
}

Status LaunchWindow::put(size_t slot, BorrowedFd fd) {
  return sys::dup3(fd, at(slot).get(), 0);
}

void LaunchWindow::clear() {
  // dup3 replaces: at no moment is the number free for somebody else. It closes a copy of what was
  // there, which the child has, too: this is not the last close of it.
  for (size_t slot = 0; slot < kUnshared; ++slot) static_cast<void>(put(slot, at(kNull)));
}

}  // namespace outlive::machine
