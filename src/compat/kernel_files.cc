#include "compat/kernel_files.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/memfd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/sys.h"
#include "files/memfd/kernel_rules.h"

namespace outlive::compat {
namespace {

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif

constexpr uint64_t kMostACall = 1 << 30;

// The kernel fills every hole of a file that is preserved, and says ENOMEM when there is no room.
// On this machine's own memory the same would end in its OOM killer, so half of what is free is the
// limit.
Status room_for(uint64_t bytes) {
  const std::string text = TRY(sys::read_file("/proc/meminfo"));
  const size_t at = text.find("MemAvailable:");
  if (at == std::string::npos) return fail(ENOMEM, "/proc/meminfo has no MemAvailable");
  const uint64_t available = strtoull(text.c_str() + at + strlen("MemAvailable:"), nullptr, 10)
                             << 10;
  if (bytes <= available / 2) return {};
  return fail(ENOMEM, "{} bytes, and half of the memory that is free is {}", bytes, available / 2);
}

// Where there are pages; holes stay what fallocate made of them.
Status copy(BorrowedFd from, BorrowedFd to, uint64_t size) {
  off_t at = 0;
  while (static_cast<uint64_t>(at) < size) {
    const off_t data = lseek(from.get(), at, SEEK_DATA);
    if (data < 0 && errno == ENXIO) return {};
    if (data < 0) return fail_errno("lseek");
    off_t hole = lseek(from.get(), data, SEEK_HOLE);
    if (hole < 0) return fail_errno("lseek");
    hole = std::min(hole, static_cast<off_t>(size));
    if (lseek(to.get(), data, SEEK_SET) < 0) return fail_errno("lseek");
    for (at = data; at < hole;) {
      const auto part = std::min(static_cast<uint64_t>(hole - at), kMostACall);
      const ssize_t sent = sendfile(to.get(), from.get(), &at, part);
      if (sent < 0) return fail_errno("sendfile");
      if (sent == 0) return {};
    }
  }
  return {};
}

// As the kernel makes it: executable, whatever the machine's default (vm.memfd_noexec) says. So a
// file with F_SEAL_EXEC comes back with the seals that it implies for an executable one.
Result<UniqueFd> make_memfd(unsigned flags) {
  Result<UniqueFd> made = sys::memfd_create("", flags | MFD_EXEC);
  if (made || made.error().code != EINVAL) return made;
  return sys::memfd_create("", flags);  // before Linux 6.3 all are
}

}  // namespace

Result<luo::Preserved> KernelMemfd::preserve(BorrowedFd fd, const luo::FileFacts& facts) {
  const luo::Preserved preserved = TRY(MemfdHandler::preserve(fd, facts));
  if (facts.size == 0) return preserved;
  // Opened anew: the program's may be for reading only. What its mode forbids us keeps its holes.
  const auto file = sys::open(fmt::format("/proc/self/fd/{}", fd.get()), O_WRONLY);
  const struct stat now = TRY(sys::fstat(fd));
  const uint64_t there = static_cast<uint64_t>(now.st_blocks) * 512;
  if (!file) return preserved;
  TRY(room_for(facts.size - std::min(facts.size, there)).context("fd {}", fd.get()));
  TRY(sys::fallocate(*file, 0, 0, facts.size).context("fd {}", fd.get()));
  return preserved;
}

Result<luo::FileFacts> classify_as_kernel(BorrowedFd fd) {
  const struct statx stat = TRY(sys::statx_cached(fd, STATX_BASIC_STATS));
  luo::FileFacts facts;
  facts.mode = stat.stx_mode;
  facts.detail = fmt::format("fd {}", fd.get());
  if (!S_ISREG(stat.stx_mode) || stat.stx_nlink != 0) return facts;
  struct statfs system;
  if (fstatfs(fd.get(), &system) != 0 || system.f_type != TMPFS_MAGIC) return facts;
  facts.kind = luo::FileKind::kMemfd;
  facts.device = makedev(stat.stx_dev_major, stat.stx_dev_minor);
  facts.inode = stat.stx_ino;
  facts.size = stat.stx_size;
  facts.seals = TRY(sys::get_seals(fd));
  return facts;
}

Result<UniqueFd> carry_over(const luo::FileState& file, Kernel kernel) {
  const auto seals = static_cast<int>(file.data);
  TRY(room_for(file.size).context("token {:#x}", file.token));
  UniqueFd made = TRY(make_memfd(kernel == Kernel::k619 ? 0 : MFD_ALLOW_SEALING));
  TRY(sys::ftruncate(made, file.size));
  if (file.size > 0) TRY(sys::fallocate(made, 0, 0, file.size));
  // Opened anew: the program's may be for writing only, and its position is its own.
  const UniqueFd from = TRY(sys::open(fmt::format("/proc/self/fd/{}", file.fd.get()), O_RDONLY));
  TRY(copy(from, made, file.size).context("token {:#x}", file.token));
  const off_t position = lseek(file.fd.get(), 0, SEEK_CUR);
  if (lseek(made.get(), position, SEEK_SET) != position) return fail_errno("position");
  if (kernel != Kernel::k619) TRY(sys::add_seals(made, seals));
  return made;
}

}  // namespace outlive::compat
