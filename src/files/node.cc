#include "files/node.h"

#include <sys/sysmacros.h>

#include "base/sys.h"
#include "files/printable.h"

namespace outlive::files {
namespace {

using luo::FileKind;

struct PseudoName {
  const char* prefix;
  FileKind kind;
};
constexpr PseudoName kPseudoNames[] = {
    {"socket:[", FileKind::kOtherSocket},
    {"pipe:[", FileKind::kPipe},
    {"pidfd:[", FileKind::kPidfd},
    {"anon_inode:[pidfd]", FileKind::kPidfd},
    {"anon_inode:[eventfd]", FileKind::kEventfd},
    {"anon_inode:[timerfd]", FileKind::kTimerfd},
    {"anon_inode:[signalfd]", FileKind::kSignalfd},
    {"anon_inode:[eventpoll]", FileKind::kEpoll},
    {"anon_inode:inotify", FileKind::kInotify},
    {"anon_inode:[fanotify]", FileKind::kInotify},
    {"anon_inode:[io_uring]", FileKind::kIoUring},
};

FileKind pseudo_kind(const std::string& link) {
  for (const PseudoName& name : kPseudoNames) {
    if (link.starts_with(name.prefix)) return name.kind;
  }
  return FileKind::kOther;
}

// Numbers from the kernel's Documentation/admin-guide/devices.txt.
FileKind char_device_kind(uint32_t major, uint32_t minor) {
  constexpr uint32_t kOldPtyMaster = 2;
  constexpr uint32_t kOldPtySlave = 3;
  constexpr uint32_t kFirstPtySlave = 136;
  constexpr uint32_t kLastPtySlave = 143;
  if (major == 5 && minor == 2) return FileKind::kPty;  // /dev/ptmx
  if (major == kOldPtyMaster || major == kOldPtySlave) return FileKind::kPty;
  if (major >= kFirstPtySlave && major <= kLastPtySlave) return FileKind::kPty;
  if (major == 10 && minor == 200) return FileKind::kTun;  // /dev/net/tun
  return FileKind::kCharDevice;
}

FileKind kind_of(const Node& node) {
  if (is_pseudo(node)) return pseudo_kind(node.link);
  switch (node.mode & S_IFMT) {
    case S_IFREG:
      return FileKind::kRegular;
    case S_IFDIR:
      return FileKind::kDirectory;
    case S_IFIFO:
      return FileKind::kFifo;
    case S_IFCHR:
      return char_device_kind(node.device_major, node.device_minor);
    case S_IFBLK:
      return FileKind::kBlockDevice;
    default:
      return FileKind::kOther;
  }
}

}  // namespace

Result<std::string> link_of(BorrowedFd fd) {
  return sys::readlink(fmt::format("/proc/self/fd/{}", fd.get()));
}

Result<Node> node_of(BorrowedFd fd) {
  Node node = TRY(node_without_link(fd));
  node.link = TRY(link_of(fd));
  return node;
}

Result<Node> node_without_link(BorrowedFd fd) {
  Node node;
  const struct statx stat =
      TRY(sys::statx_cached(fd, STATX_TYPE | STATX_MODE | STATX_NLINK | STATX_INO | STATX_SIZE));
  node.mode = stat.stx_mode;
  node.links = stat.stx_nlink;
  node.device = makedev(stat.stx_dev_major, stat.stx_dev_minor);
  node.inode = stat.stx_ino;
  node.size = stat.stx_size;
  node.device_major = stat.stx_rdev_major;
  node.device_minor = stat.stx_rdev_minor;
  return node;
}

bool is_pseudo(const Node& node) {
  return !node.link.starts_with("/") && !node.link.starts_with("(unreachable)");
}

luo::FileFacts facts_of(const Node& node) {
  luo::FileFacts facts;
  facts.kind = kind_of(node);
  facts.mode = node.mode;
  facts.device = node.device;
  facts.size = node.size;
  // Nearly all anon_inode files are one inode, so its number says nothing of the file.
  facts.inode = node.link.starts_with("anon_inode:") ? 0 : node.inode;
  facts.detail = printable(node.link);
  return facts;
}

}  // namespace outlive::files
