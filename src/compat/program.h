// Starts a program under the filter, in a supervisor process of its own.
#pragma once

#include <sys/types.h>

#include "compat/compat.h"
#include "compat/link.h"

namespace outlive::compat {

class Program {
 public:
  // Returns when the program has been executed. ENOENT, EACCES ...: exec's error.
  static Result<Program> start(const std::vector<std::string>& command, Link link);
  pid_t pid() const { return pid_; }
  // Its wait status, when it has ended; `interrupt`: signals to pass on meanwhile. EIO: the
  // supervisor died.
  Result<int> wait(BorrowedFd interrupt);

 private:
  pid_t pid_ = 0;
  UniqueFd reports_;
};

}  // namespace outlive::compat
