#include "files/memfd/memfd_handler.h"

#include "base/sys.h"
#include "files/memfd/kernel_rules.h"

namespace outlive::files {
namespace {

struct SealName {
  int seal;
  const char* name;
};
constexpr SealName kSealNames[] = {
    {F_SEAL_SEAL, "seal"},   {F_SEAL_SHRINK, "shrink"}, {F_SEAL_GROW, "grow"},
    {F_SEAL_WRITE, "write"}, {F_SEAL_EXEC, "exec"},     {F_SEAL_FUTURE_WRITE, "future_write"},
};

// "0x6 (shrink grow)"
std::string seals_text(int seals) {
  std::string names;
  for (const SealName& known : kSealNames) {
    if ((seals & known.seal) == 0) continue;
    if (!names.empty()) names += ' ';
    names += known.name;
  }
  return fmt::format("{:#x} ({})", seals, names.empty() ? "none" : names);
}

// The cached size is the size: shmem and hugetlbfs keep it in the inode and wait for nobody.
Result<luo::Preserved> measure(BorrowedFd fd) {
  const struct statx stat = TRY(sys::statx_cached(fd, STATX_SIZE));
  const int seals = TRY(sys::get_seals(fd));
  return luo::Preserved{.data = static_cast<uint32_t>(seals), .size = stat.stx_size};
}

}  // namespace

bool MemfdHandler::can_preserve(const luo::FileFacts& facts) const {
  if (facts.kind != luo::FileKind::kMemfd) return false;
  return rules_ == Rules::kProcess || !facts.huge_pages;
}

Result<luo::Preserved> MemfdHandler::preserve(BorrowedFd fd, const luo::FileFacts& facts) {
  if (facts.kind != luo::FileKind::kMemfd) return fail(EINVAL, "fd {} is no memfd", fd.get());
  const int unknown = facts.seals & ~kKernelSeals;
  if (rules_ == Rules::kKernel && unknown != 0) {
    return fail(EOPNOTSUPP, "the kernel doesn't preserve seals {:#x} of a memfd", unknown);
  }
  return luo::Preserved{.data = static_cast<uint32_t>(facts.seals), .size = facts.size};
}

Result<luo::Preserved> MemfdHandler::prepare(const luo::FileState& file) {
  return measure(file.fd).context("memfd of token {}", file.token);
}

Status MemfdHandler::freeze(luo::FileState& file) {
  const luo::Preserved now = TRY(measure(file.fd).context("memfd of token {}", file.token));
  if (now.size != file.size) {
    return fail(EBUSY, "memfd of token {}: it had {} bytes at prepare, now it has {}", file.token,
                file.size, now.size);
  }
  if (now.data != file.data) {
    return fail(EBUSY, "memfd of token {}: its seals were {} at prepare, now {}", file.token,
                seals_text(static_cast<int>(file.data)), seals_text(static_cast<int>(now.data)));
  }
  return {};
}

}  // namespace outlive::files
