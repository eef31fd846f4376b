// Files by the kernel's rules: its one file handler (mm/memfd_luo.c), and what it takes for a
// memfd.
//
// Any file of shared memory without a name: memfd_create, and a tmpfs file that was unlinked or
// never linked. Not on huge pages. Freeze compares nothing: the kernel's keeps the size from
// changing, which can't be done from outside without a seal that would be seen; the size and the
// seals at preserve are the ones that cross, as they are there.
#pragma once

#include "compat/compat.h"
#include "files/memfd/memfd_handler.h"

namespace outlive::compat {

class KernelMemfd : public files::MemfdHandler {
 public:
  KernelMemfd() : MemfdHandler(Rules::kKernel) {}
  // Holes become pages, as the kernel pins all of it.
  Result<luo::Preserved> preserve(BorrowedFd fd, const luo::FileFacts& facts) override;
  Status freeze(luo::FileState&) override { return {}; }
};

// Without blocking. Only what KernelMemfd asks is told: kMemfd, size, seals, identity; or kOther.
Result<luo::FileFacts> classify_as_kernel(BorrowedFd fd);

// What a kexec makes of a preserved file: a new memfd without a name, with the content, size and
// position, and (7.3) the seals that it had at preserve. Holes come back as pages.
Result<UniqueFd> carry_over(const luo::FileState& file, Kernel kernel);

}  // namespace outlive::compat
