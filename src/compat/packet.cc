#include "compat/packet.h"

#include <string.h>

#include "base/rights.h"
#include "base/sys.h"

namespace outlive::compat {
namespace {

using Room = RightsRoom<1>;

}  // namespace

Status send_packet(BorrowedFd socket, std::span<const std::byte> bytes, BorrowedFd fd) {
  iovec data = {const_cast<std::byte*>(bytes.data()), bytes.size()};
  Room room;
  msghdr message = {};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  put_rights({&fd, fd.valid() ? size_t{1} : 0}, room.bytes, message);
  TRY(sys::sendmsg(socket, message, MSG_NOSIGNAL));
  return {};
}

Result<Packet> receive_packet(BorrowedFd socket, std::span<std::byte> bytes) {
  iovec data = {bytes.data(), bytes.size()};
  Room room;
  msghdr message = {};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = room.bytes;
  message.msg_controllen = sizeof room.bytes;
  const size_t got = TRY(sys::recvmsg(socket, message, MSG_CMSG_CLOEXEC));
  Packet packet;
  for (UniqueFd& fd : take_rights(message)) packet.fd = std::move(fd);
  packet.closed = got == 0;
  uint32_t magic = 0;
  if (!packet.closed) memcpy(&magic, bytes.data(), std::min(got, sizeof magic));
  if (!packet.closed && (got != bytes.size() || magic != abi::kCompatMagic)) {
    return fail(EPROTO, "a message of {} bytes that isn't {}", got, abi::kCompatCompatible);
  }
  return packet;
}

}  // namespace outlive::compat
