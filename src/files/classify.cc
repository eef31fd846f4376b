#include "files/classify.h"

#include <sys/sysmacros.h>

#include "base/sys.h"
#include "files/memfd/memfd_device.h"
#include "files/node.h"
#include "files/socket/socket_facts.h"

namespace outlive::files {
namespace {

Status add_memfd_facts(BorrowedFd fd, MemfdDevice device, luo::FileFacts& facts) {
  if (device == MemfdDevice::kNone) return {};
  // An O_PATH fd has no seals to show (EBADF), and can't be used as memory either.
  const Result<int> seals = sys::get_seals(fd);
  if (!seals) return {};
  facts.kind = luo::FileKind::kMemfd;
  facts.seals = *seals;
  facts.huge_pages = device == MemfdDevice::kHuge;
  return {};
}

}  // namespace

Result<luo::FileFacts> classify(BorrowedFd fd) {
  Node node = TRY(node_without_link(fd));
  if (S_ISSOCK(node.mode)) {
    // The link of a socket would say no more. Connections come by the thousand: save the call.
    node.link = fmt::format("socket:[{}]", node.inode);
    luo::FileFacts facts = facts_of(node);
    if (add_socket_facts(fd, facts)) return facts;
  }
  node.link = TRY(link_of(fd));
  luo::FileFacts facts = facts_of(node);
  if (facts.kind == luo::FileKind::kRegular) {
    const MemfdDevice device = TRY(looks_like_memfd(node));
    TRY(add_memfd_facts(fd, device, facts));
  }
  return facts;
}

Result<luo::FileFacts> classify_to_preserve(BorrowedFd fd) {
  Node node = TRY(node_without_link(fd));
  luo::FileFacts facts;
  facts.mode = node.mode;
  facts.device = node.device;
  facts.inode = node.inode;
  facts.size = node.size;
  if (S_ISSOCK(node.mode)) {
    const Result<int> domain = sys::get_int_option(fd, SOL_SOCKET, SO_DOMAIN);
    if (!domain) return facts;  // an O_PATH fd of a socket's name
    facts.kind = *domain == AF_UNIX ? luo::FileKind::kUnixConnection : luo::FileKind::kOtherSocket;
  } else if (S_ISREG(node.mode)) {
    // The device is the kernel's own: the link could only tell it from a SysV segment.
    if (node.links == 0) {
      const MemfdDevice device = TRY(memfd_device(node.device));
      TRY(add_memfd_facts(fd, device, facts));
      if (facts.kind == luo::FileKind::kMemfd) return facts;
    }
    // The kernel's own files (namespaces) say that they are regular ones; their links don't.
    node.link = TRY(link_of(fd));
    facts.kind = facts_of(node).kind;
  } else if (S_ISDIR(node.mode)) {
    facts.kind = luo::FileKind::kDirectory;
  } else if (S_ISFIFO(node.mode)) {
    facts.kind = luo::FileKind::kFifo;
  }
  return facts;
}

Result<luo::FileIdentity> identify(BorrowedFd fd) {
  const struct statx stat = TRY(sys::statx_cached(fd, STATX_INO));
  return identity_of(stat);
}

luo::FileIdentity identity_of(const struct statx& stat) {
  return {makedev(stat.stx_dev_major, stat.stx_dev_minor), stat.stx_ino};
}

}  // namespace outlive::files
