// The kernel's Live Update Orchestrator: /dev/liveupdate and its sessions, one call a request
// (abi/liveupdate.h has the bytes). errno is the kernel's.
//
// Happy path:   open_liveupdate() -> create_session() -> preserve() ... kexec ... open_liveupdate()
//               -> retrieve_session() -> retrieve() ... -> finish()
// Unhappy path: a session that is closed before the kexec gives up all that it preserved.
// Blocking:     preserve() migrates pages: seconds a GiB. All of them block for ever once reboot(2)
//               has gone through.
// Threads: any, one call at a time.
#pragma once

#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace outlive::machine {

inline constexpr char kLiveupdateDevice[] = "/dev/liveupdate";

class KernelSession {
 public:
  explicit KernelSession(UniqueFd fd) : fd_(std::move(fd)) {}
  // EEXIST: the token is used; EBUSY: the file is preserved already; ENOENT: the kernel takes no
  // such file.
  Status preserve(BorrowedFd file, uint64_t token);
  // A new descriptor, CLOEXEC; asked again, of the same open file.
  Result<UniqueFd> retrieve(uint64_t token);
  // Whether it came from the kernel before; else it is to cross to the next one. The kernel's
  // error.
  Result<bool> is_incoming() const;
  // What was retrieved is nobody's but ours; what wasn't is gone. Again: nothing happens.
  Status finish();
  BorrowedFd fd() const { return fd_.borrow(); }
  // It is the caller's from here on, and so is its end.
  UniqueFd take() { return std::move(fd_); }

 private:
  UniqueFd fd_;
};

// ENOENT: the kernel has no live update, or it is off; EBUSY: another program has it open; EIO: the
// kernel could not read what the one before left.
Result<UniqueFd> open_liveupdate(const std::string& path = kLiveupdateDevice);
// Up to 63 characters, one namespace for all. EEXIST.
Result<KernelSession> create_session(BorrowedFd device, const std::string& name);
// ENOENT: no such one came from the kernel before; EINVAL: it is retrieved already.
Result<KernelSession> retrieve_session(BorrowedFd device, const std::string& name);

}  // namespace outlive::machine
