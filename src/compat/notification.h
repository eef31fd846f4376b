// Notification: one system call that the kernel stopped for us, and the ways to answer it.
//
// Happy path:   poll the listener; receive(); then exactly one of finish, refuse, let_through,
//               finish_with_fd.
// Unhappy path: the caller was killed meanwhile: answers are quietly without effect.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>

#include "base/result.h"
#include "base/unique_fd.h"

namespace outlive::compat {

class Notification {
 public:
  // Nothing: the call was interrupted before we came to it, and comes again. ENOENT: a spurious
  // wake-up.
  static Result<Notification> receive(BorrowedFd listener);

  long number() const { return number_; }
  pid_t thread() const { return thread_; }
  uint64_t argument(size_t n) const { return arguments_[n]; }
  uint32_t argument32(size_t n) const { return static_cast<uint32_t>(arguments_[n]); }

  // Whether the caller still waits: what was read of it before this was really its own.
  bool valid() const;
  void finish(int64_t value) const { send(value, 0, 0); }
  void refuse(int code) const { send(0, -code, 0); }
  void let_through() const;
  // Puts a descriptor into the caller, lowest free number. ENOENT: it is gone; EMFILE: no room.
  Result<int> add_fd(BorrowedFd fd, bool cloexec) const;
  // The same, and its number is the call's result.
  Status finish_with_fd(BorrowedFd fd, bool cloexec) const;

 private:
  void send(int64_t value, int error, uint32_t flags) const;
  Result<int> add(BorrowedFd fd, bool cloexec, uint32_t flags) const;

  BorrowedFd listener_;
  uint64_t id_ = 0;
  pid_t thread_ = 0;
  long number_ = 0;
  uint64_t arguments_[6] = {};
};

// Wakes caller and supervisor on one CPU, where the kernel can (6.6): half the price of a call.
void wake_in_step(BorrowedFd listener);

}  // namespace outlive::compat
