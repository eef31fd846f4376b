// Ctrl-C as a readable fd, so that a call which waits can say what goes on without us.
#pragma once

#include "base/unique_fd.h"

namespace outlive::cli {

class Interrupt {
 public:
  // SIGINT and SIGTERM are blocked from here on. When that fails the fd is invalid, and signals do
  // what they always do.
  static Interrupt catch_signals();
  BorrowedFd fd() const { return fd_; }

 private:
  UniqueFd fd_;
};

}  // namespace outlive::cli
