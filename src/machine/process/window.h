// LaunchWindow: a row of low fd numbers that only the launcher uses, so that a child can leave the
// shared table with a copy of just these (close_range above them with CLOSE_RANGE_UNSHARE copies
// nothing else, however many fds are open). Unused slots hold /dev/null, so nobody else ever gets
// one of the numbers.
#pragma once

#include <cstddef>

#include "base/result.h"
#include "base/unique_fd.h"
#include "machine/process/control.h"

namespace outlive::machine {

class LaunchWindow {
 public:
  static constexpr size_t kProgram = abi::kLaunchFds;       // slot of the program to execute
  static constexpr size_t kGate = abi::kLaunchFds + 1;      // read end of the gate
  static constexpr size_t kUnshared = abi::kLaunchFds + 2;  // eventfd: the child has its own table
  static constexpr size_t kNull = abi::kLaunchFds + 3;      // /dev/null
  static constexpr size_t kCount = abi::kLaunchFds + 4;

  // Takes the first row of free numbers from 16 on and notes it in the control block.
  static Result<LaunchWindow> reserve(Control& control);
  // The one that the control block says; after an exec.
  static LaunchWindow inherit(const Control& control) {
    return LaunchWindow(BorrowedFd(static_cast<int>(control.block().window_first)));
  }
  // Puts a copy of `fd` into the slot, without CLOEXEC: the row crosses the keeper's exec as it is,
  // and a child closes it all.
  Status put(size_t slot, BorrowedFd fd);
  // All slots but kUnshared and kNull are /dev/null again; also after a keeper that died in use.
  void clear();
  BorrowedFd at(size_t slot) const { return BorrowedFd(first_ + static_cast<int>(slot)); }
  BorrowedFd end() const { return at(kCount); }  // first number above

 private:
  explicit LaunchWindow(BorrowedFd first) : first_(first.get()) {}
  int first_;
};

}  // namespace outlive::machine
