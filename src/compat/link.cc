#include "compat/link.h"

#include <string.h>

#include <algorithm>

#include "base/sys.h"

namespace outlive::compat {

abi::CompatAsk make_ask(abi::CompatRequest request) {
  abi::CompatAsk ask = {};
  ask.magic = abi::kCompatMagic;
  ask.request = static_cast<uint32_t>(request);
  return ask;
}

Result<Link> Link::connect(const std::string& path) {
  const sys::UnixAddress address = TRY(sys::unix_address(path));
  UniqueFd socket = TRY(sys::socket(AF_UNIX, SOCK_SEQPACKET));
  const Status connected =
      sys::connect(socket, reinterpret_cast<const sockaddr*>(&address.address), address.length);
  if (!connected) {
    const int code = connected.error().code;
    if (code == ECONNREFUSED || code == ENOENT)
      return fail(ENOENT, "no device is held at {}", path);
    return connected.error();
  }
  return Link(std::move(socket));
}

Result<Link::Reply> Link::ask(abi::CompatAsk ask, BorrowedFd fd) {
  Reply reply;
  memset(&reply.answer, 0, sizeof reply.answer);
  const Status sent = send_packet(socket_, packet_bytes(ask), fd);
  if (!sent) return fail(ENODEV, "the holder of the device is gone");
  Result<Packet> packet = receive_packet(socket_, writable_packet(reply.answer));
  if (!packet || packet->closed) return fail(ENODEV, "the holder of the device is gone");
  if (reply.answer.error != 0) {
    const char* text = reinterpret_cast<const char*>(reply.answer.body);
    return fail(static_cast<int>(reply.answer.error), "{}",
                std::string(text, strnlen(text, sizeof reply.answer.body)));
  }
  reply.fd = std::move(packet->fd);
  return reply;
}

Result<Link::Reply> Link::ask(abi::CompatRequest request, std::string_view text) {
  abi::CompatAsk message = make_ask(request);
  if (text.size() > sizeof message.body) return fail(E2BIG, "{} bytes of text", text.size());
  message.size = static_cast<uint32_t>(text.size());
  std::ranges::copy(text, reinterpret_cast<char*>(message.body));  // of nothing, too
  return ask(message);
}

abi::CompatKind Link::look(uint64_t cookie) {
  abi::CompatAsk message = make_ask(abi::CompatRequest::kLook);
  message.cookie = cookie;
  const Result<Reply> reply = ask(message);
  if (reply) return reply->kind();
  return cookie == 0 ? abi::CompatKind::kAbsent : abi::CompatKind::kNone;
}

void Link::wait_until_closed() {
  std::byte rest;
  while (true) {
    const Result<size_t> got = sys::recv(socket_, std::span(&rest, 1), 0);
    if (!got || *got == 0) return;
  }
}

}  // namespace outlive::compat
