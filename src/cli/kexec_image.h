// A copy of an outlived's arena, seen from outside: read for the plan, and as it is once everything
// is frozen the image that crosses the kexec. It is attached once: what is read, and the timelines
// that are added, are of the same records.
//
// Happy path: copy_of() -> records() -> copy_to() the memory that the kernel preserves.
// Ownership:  the copy is this process's alone. Threads: one.
#pragma once

#include <memory>

#include "base/unique_fd.h"
#include "kho/arena.h"
#include "kho/root_fdt.h"
#include "luo/records.h"

namespace outlive::cli {

class KexecImage {
 public:
  // `arena`: a copy that nobody changes meanwhile. EPROTO, EUCLEAN: as Arena::attach.
  static Result<KexecImage> copy_of(BorrowedFd arena);

  luo::Records& records() const { return *records_; }
  // Of its beginning, that are in use: what is behind them is free.
  uint64_t bytes() const;
  // These, into a file of zeros.
  Status copy_to(BorrowedFd file) const;

 private:
  KexecImage() = default;

  UniqueFd copy_;
  std::unique_ptr<kho::Arena> arena_;
  std::unique_ptr<kho::RootFdt> fdt_;
  std::unique_ptr<luo::Records> records_;
};

}  // namespace outlive::cli
