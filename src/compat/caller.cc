#include "compat/caller.h"

#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>

namespace outlive::compat {
namespace {

constexpr uint64_t kPage = 4096;
constexpr uint64_t kUserEnd = 0x7fff'ffff'f000;  // TASK_SIZE_MAX
constexpr unsigned kPidfdThread = O_EXCL;        // PIDFD_THREAD, Linux 6.9

uint64_t to_page_end(uint64_t address) {
  return kPage - address % kPage;
}

}  // namespace

Status Caller::read(uint64_t address, std::span<std::byte> into) const {
  const iovec here = {into.data(), into.size()};
  const iovec there = {reinterpret_cast<void*>(address), into.size()};  // NOLINT: theirs, not ours
  const ssize_t got = process_vm_readv(thread_, &here, 1, &there, 1, 0);
  if (got < 0) return fail_errno("read of the caller's memory");
  if (static_cast<size_t>(got) != into.size()) return fail(EFAULT, "the caller's memory ends");
  return {};
}

Status Caller::write(uint64_t address, std::span<const std::byte> from) const {
  const iovec here = {const_cast<std::byte*>(from.data()), from.size()};
  const iovec there = {reinterpret_cast<void*>(address), from.size()};  // NOLINT
  const ssize_t put = process_vm_writev(thread_, &here, 1, &there, 1, 0);
  if (put < 0) return fail_errno("write of the caller's memory");
  if (static_cast<size_t>(put) != from.size()) return fail(EFAULT, "the caller's memory ends");
  return {};
}

// Page by page: a text may end just before a page that isn't there.
Result<std::string> Caller::read_text(uint64_t address, size_t most) const {
  std::string text;
  std::array<char, 512> part;
  while (text.size() < most) {
    const uint64_t size = std::min<uint64_t>({part.size(), to_page_end(address), most});
    TRY(read(address, std::as_writable_bytes(std::span(part.data(), size))));
    const size_t length = strnlen(part.data(), size);
    text.append(part.data(), length);
    if (length < size) return text;
    address += size;
  }
  return fail(ENAMETOOLONG, "a path of {} bytes or more", most);
}

Result<bool> Caller::all_zero(uint64_t address, uint64_t size) const {
  if (address > kUserEnd || size > kUserEnd - address) return fail(EFAULT, "beyond user space");
  std::array<std::byte, kPage> page;
  while (size > 0) {
    const uint64_t part = std::min(size, to_page_end(address));
    TRY(read(address, std::span(page.data(), part)));
    if (std::any_of(page.begin(), page.begin() + static_cast<ptrdiff_t>(part),
                    [](std::byte b) { return b != std::byte{0}; })) {
      return false;
    }
    address += part;
    size -= part;
  }
  return true;
}

Result<UniqueFd> Caller::take_fd(int number) const {
  // The thread's own table, where the kernel can; else its group's, which is nearly always the
  // same.
  UniqueFd process(static_cast<int>(syscall(__NR_pidfd_open, thread_, kPidfdThread)));
  if (!process && errno == EINVAL) {
    process = UniqueFd(static_cast<int>(syscall(__NR_pidfd_open, thread_, 0)));
  }
  if (!process) return fail_errno("the caller");
  UniqueFd taken(static_cast<int>(syscall(__NR_pidfd_getfd, process.get(), number, 0)));
  if (!taken) return fail_errno("the caller's descriptor");
  const int flags = fcntl(taken.get(), F_GETFL);
  if (flags < 0 || (flags & O_PATH) != 0) return fail(EBADF, "fd {} is only a path", number);
  return taken;
}

std::string Caller::proc(std::string_view name) const {
  return fmt::format("/proc/{}/{}", thread_, name);
}

bool Caller::table_full() const {
  // Linux 6.2 and newer: the size of /proc/PID/fd is the number of open ones. Older ones say 0, and
  // adding the descriptor fails then.
  struct stat table;
  rlimit limit;
  if (stat(proc("fd").c_str(), &table) != 0) return false;
  if (prlimit(thread_, RLIMIT_NOFILE, nullptr, &limit) != 0) return false;
  if (static_cast<uint64_t>(table.st_size) < limit.rlim_cur) return false;
  // The limit may have been lowered below some that are open: then there may be room under it.
  for (uint64_t fd = 0; fd < limit.rlim_cur; ++fd) {
    if (lstat(proc(fmt::format("fd/{}", fd)).c_str(), &table) != 0) return false;
  }
  return true;
}

}  // namespace outlive::compat
