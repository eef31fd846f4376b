#include "compat/packet.h"

#include <string.h>

#include "base/sys.h"

namespace outlive::compat {
namespace {

constexpr size_t kControl = CMSG_SPACE(sizeof(int));

}  // namespace

Status send_packet(BorrowedFd socket, std::span<const std::byte> bytes, BorrowedFd fd) {
  iovec data = {const_cast<std::byte*>(bytes.data()), bytes.size()};
  alignas(cmsghdr) char control[kControl] = {};
  msghdr message = {};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  if (fd.valid()) {
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    const int number = fd.get();
    memcpy(CMSG_DATA(header), &number, sizeof number);
  }
  TRY(sys::sendmsg(socket, message, MSG_NOSIGNAL));
  return {};
}

Result<Packet> receive_packet(BorrowedFd socket, std::span<std::byte> bytes) {
  iovec data = {bytes.data(), bytes.size()};
  alignas(cmsghdr) char control[kControl] = {};
  msghdr message = {};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  const size_t got = TRY(sys::recvmsg(socket, message, MSG_CMSG_CLOEXEC));
  Packet packet;
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (header != nullptr && header->cmsg_type == SCM_RIGHTS) {
    int number = -1;
    memcpy(&number, CMSG_DATA(header), sizeof number);
    packet.fd = UniqueFd(number);
  }
  packet.closed = got == 0;
  uint32_t magic = 0;
  if (!packet.closed) memcpy(&magic, bytes.data(), std::min(got, sizeof magic));
  if (!packet.closed && (got != bytes.size() || magic != abi::kCompatMagic)) {
    return fail(EPROTO, "a message of {} bytes that isn't {}", got, abi::kCompatCompatible);
  }
  return packet;
}

}  // namespace outlive::compat
