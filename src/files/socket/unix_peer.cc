#include "files/socket/unix_peer.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <string.h>

#include "base/sys.h"

namespace outlive::files {
namespace {

struct Query {
  nlmsghdr head;
  unix_diag_req request;
};

// The attribute UNIX_DIAG_PEER of an answer.
Result<uint64_t> peer_in(const nlmsghdr* head, size_t size) {
  if (!NLMSG_OK(head, size)) return fail(EPROTO, "unix_diag: short answer");
  if (head->nlmsg_type == NLMSG_ERROR) {
    const auto* error = static_cast<const nlmsgerr*>(NLMSG_DATA(head));
    return fail(error->error == 0 ? EPROTO : -error->error, "unix_diag");
  }
  if (head->nlmsg_len < NLMSG_LENGTH(sizeof(unix_diag_msg))) {
    return fail(EPROTO, "unix_diag: short answer");
  }
  const auto* message = static_cast<const unix_diag_msg*>(NLMSG_DATA(head));
  auto left = static_cast<int>(head->nlmsg_len - NLMSG_LENGTH(sizeof *message));
  const auto* attribute = reinterpret_cast<const rtattr*>(message + 1);
  for (; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left)) {
    if (attribute->rta_type != UNIX_DIAG_PEER || RTA_PAYLOAD(attribute) < sizeof(uint32_t))
      continue;
    uint32_t inode;
    memcpy(&inode, RTA_DATA(attribute), sizeof inode);
    return static_cast<uint64_t>(inode);
  }
  return fail(ENOENT, "the socket has no peer");
}

}  // namespace

Result<UnixPeers> UnixPeers::open() {
  UniqueFd netlink = TRY(sys::socket(AF_NETLINK, SOCK_RAW, NETLINK_SOCK_DIAG));
  return UnixPeers(std::move(netlink));
}

Result<uint64_t> UnixPeers::peer_of(uint64_t inode) const {
  if (inode > UINT32_MAX) return fail(ENOENT, "inode {} is too large for unix_diag", inode);
  Query query{};
  query.head.nlmsg_len = sizeof query;
  query.head.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  query.head.nlmsg_flags = NLM_F_REQUEST;
  query.request.sdiag_family = AF_UNIX;
  query.request.udiag_states = ~0u;
  query.request.udiag_ino = static_cast<uint32_t>(inode);
  query.request.udiag_show = UDIAG_SHOW_PEER;
  query.request.udiag_cookie[0] = query.request.udiag_cookie[1] = ~0u;  // any
  TRY(sys::send(netlink_, std::as_bytes(std::span(&query, 1)), 0));
  alignas(nlmsghdr) std::byte answer[4096];
  const size_t size = TRY(sys::recv(netlink_, answer, 0));
  return peer_in(reinterpret_cast<const nlmsghdr*>(answer), size);
}

}  // namespace outlive::files
