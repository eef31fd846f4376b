// MemfdHandler: memory, "outlive-memfd-v1". Identity is the inode: preserved once only.
//
// Happy path:   preserve records size and seals -> freeze finds them unchanged -> retrieve
// Unhappy path: the memfd grew, shrank or was sealed since -> freeze is EBUSY, the update cancels
//
// FileState.data: the seals (low 32 bits). FileState.size: bytes of the file.
#pragma once

#include "files/keep_handler.h"

namespace outlive::files {

class MemfdHandler : public KeepHandler {
 public:
  enum class Rules {
    kProcess,  // everything can be held
    // As the kernel's own handler: a memfd of huge pages isn't taken (ENOENT when no other handler
    // takes it), seals that it doesn't know are EOPNOTSUPP.
    kKernel,
  };
  explicit MemfdHandler(Rules rules = Rules::kProcess) : rules_(rules) {}

  const char* compatible() const override { return "outlive-memfd-v1"; }
  bool can_preserve(const luo::FileFacts& facts) const override;
  bool exclusive(const luo::FileFacts&) const override { return true; }
  Result<luo::Preserved> preserve(BorrowedFd fd, const luo::FileFacts& facts) override;
  Result<luo::Preserved> prepare(const luo::FileState& file) override;
  Status freeze(luo::FileState& file) override;

 private:
  Rules rules_;
};

}  // namespace outlive::files
