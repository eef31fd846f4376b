// Caller: the thread whose system call we answer, seen from outside: its memory, its descriptors,
// its working directory. Everything is read once; what was read is what the call is about.
//
// Needs the rights of a debugger over it: same user, and a descendant of ours where the kernel
// wants that (Yama). EPERM for a program that made itself undumpable.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace outlive::compat {

class Caller {
 public:
  explicit Caller(pid_t thread) : thread_(thread) {}

  // All of it, or EFAULT.
  Status read(uint64_t address, std::span<std::byte> into) const;
  Status write(uint64_t address, std::span<const std::byte> from) const;
  // Up to the NUL. EFAULT; ENAMETOOLONG: none within `most` bytes.
  Result<std::string> read_text(uint64_t address, size_t most) const;
  // Whether all `size` bytes are zero; EFAULT when what comes first isn't there.
  Result<bool> all_zero(uint64_t address, uint64_t size) const;
  template <typename T>
  Result<T> read_value(uint64_t address) const {
    T value{};
    TRY(read(address, std::as_writable_bytes(std::span(&value, 1))));
    return value;
  }

  // A copy of its descriptor. EBADF also for O_PATH, which no request takes.
  Result<UniqueFd> take_fd(int number) const;
  // "/proc/THREAD/NAME"
  std::string proc(std::string_view name) const;
  // Whether one more descriptor would be EMFILE.
  bool table_full() const;

 private:
  pid_t thread_;
};

}  // namespace outlive::compat
