#include "files/classify.h"

#include "base/sys.h"
#include "files/memfd/memfd_device.h"
#include "files/node.h"
#include "files/socket/socket_facts.h"

namespace outlive::files {
namespace {

Status add_memfd_facts(BorrowedFd fd, const Node& node, luo::FileFacts& facts) {
  const MemfdDevice device = TRY(looks_like_memfd(node));
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
    TRY(add_memfd_facts(fd, node, facts));
  }
  return facts;
}

}  // namespace outlive::files
