// ImageCore: a core over a copy of an arena, to find out whether it can be read. Nobody is served
// by it, and no file is closed.
#pragma once

#include <memory>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "kho/arena.h"
#include "luo/core.h"
#include "luo/no_updates.h"

namespace outlive::daemon {

class ImageCore {
 public:
  // Attaches the copy, which it changes as any attach does. Errors: as Arena::attach and
  // Core::attach. The fd stays the caller's.
  static Result<std::unique_ptr<ImageCore>> attach(BorrowedFd copy);
  luo::Core& core() { return *core_; }

 private:
  ImageCore() = default;
  std::vector<std::unique_ptr<luo::FileHandler>> handlers_;
  std::unique_ptr<kho::Arena> arena_;
  luo::NoUpdates host_;
  std::unique_ptr<luo::Core> core_;
};

}  // namespace outlive::daemon
