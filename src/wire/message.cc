#include "wire/message.h"

#include <poll.h>
#include <string.h>

#include "base/rights.h"
#include "base/sys.h"

namespace outlive::wire {
namespace {

// Room for all fds of a message; and for credentials, in case somebody asked the socket for them.
constexpr size_t kControlSize =
    CMSG_SPACE(abi::kMaxFds * sizeof(int)) + CMSG_SPACE(sizeof(ucred)) + CMSG_SPACE(sizeof(int));

struct ControlBuffer {
  alignas(cmsghdr) std::byte bytes[kControlSize];
};

// Zero bytes were read: the end, or a packet without a byte in it?
Result<Received> zero_bytes(BorrowedFd socket) {
  pollfd entry{.fd = socket.get(), .events = POLLIN, .revents = 0};
  if (::poll(&entry, 1, 0) == -1) return fail_errno("poll");
  if ((entry.revents & POLLHUP) == 0) return fail(EPROTO, "a packet without a byte in it");
  return Received{Arrival::kClosed, {}, {0, {}}, false};
}

Status check_header(const abi::MessageHeader& header) {
  if (header.magic != abi::kWireMagic) {
    return fail(EPROTO, "magic {:#x} is not outlive's {:#x}", uint32_t{header.magic},
                abi::kWireMagic);
  }
  if (header.version != abi::kWireVersion) {
    return fail(EPROTO, "protocol version {} is not known, only {}", uint16_t{header.version},
                abi::kWireVersion);
  }
  return {};
}

Result<Received> without_message(Error error) {
  if (error.code == EAGAIN) return Received{Arrival::kNothing, {}, {0, {}}, false};
  if (error.code == ECONNRESET) return Received{Arrival::kReset, {}, {0, {}}, false};
  return error;
}

Result<Received> read_message(BorrowedFd socket, Buffer& buffer, FdFlag fd_flag, int flags,
                              Unwanted* unwanted) {
  ControlBuffer control;
  iovec part{.iov_base = buffer.bytes, .iov_len = sizeof buffer.bytes};
  msghdr raw{};
  raw.msg_iov = &part;
  raw.msg_iovlen = 1;
  raw.msg_control = control.bytes;
  raw.msg_controllen = sizeof control.bytes;
  if (fd_flag == FdFlag::kCloexec) flags |= MSG_CMSG_CLOEXEC;

  auto got = sys::recvmsg(socket, raw, flags);
  if (!got) return without_message(got.take_error());
  Unwanted here;
  Unwanted& fds = unwanted != nullptr ? *unwanted : here;
  fds = take_rights(raw);
  Received received;
  if (*got == 0 && fds.empty()) return zero_bytes(socket);
  if (*got < sizeof(abi::MessageHeader)) {
    return fail(EPROTO, "a packet of {} bytes, a header has {}", *got, sizeof(abi::MessageHeader));
  }
  memcpy(&received.message.header, buffer.bytes, sizeof received.message.header);
  TRY(check_header(received.message.header));

  received.arrival = Arrival::kRefused;
  if ((raw.msg_flags & MSG_CTRUNC) != 0) {
    received.lost_fds = true;
    received.refusal = fail(EMFILE, "the message's descriptors don't fit: no free slots");
    return received;
  }
  if ((raw.msg_flags & MSG_TRUNC) != 0) {
    received.refusal = fail(E2BIG, "a body has at most {} bytes", abi::kMaxBody);
    return received;
  }
  received.arrival = Arrival::kMessage;
  received.message.fds = std::move(fds);
  fds.clear();
  received.message.body = std::span(buffer.bytes).first(*got).subspan(sizeof(abi::MessageHeader));
  return received;
}

iovec part_of(std::span<const std::byte> bytes) {
  return {.iov_base = const_cast<std::byte*>(bytes.data()), .iov_len = bytes.size()};
}

}  // namespace

Result<Received> peek(BorrowedFd socket, Buffer& buffer, FdFlag flag, Unwanted* unwanted) {
  return read_message(socket, buffer, flag, MSG_PEEK | MSG_DONTWAIT, unwanted);
}

Result<Received> receive(BorrowedFd socket, Buffer& buffer, Blocking blocking, FdFlag flag) {
  return read_message(socket, buffer, flag, blocking == Blocking::kNo ? MSG_DONTWAIT : 0, nullptr);
}

Status consume(BorrowedFd socket) {
  // No control buffer: the kernel lets go of the packet's fds without installing them.
  TRY(sys::recv(socket, {}, MSG_DONTWAIT | MSG_TRUNC));
  return {};
}

Result<size_t> take_bytes(BorrowedFd socket, std::span<std::byte> into, Unwanted& fds) {
  ControlBuffer control;
  iovec part{.iov_base = into.data(), .iov_len = into.size()};
  msghdr raw{};
  raw.msg_iov = &part;
  raw.msg_iovlen = 1;
  raw.msg_control = control.bytes;
  raw.msg_controllen = sizeof control.bytes;
  const size_t got = TRY(sys::recvmsg(socket, raw, MSG_DONTWAIT));
  for (UniqueFd& fd : take_rights(raw)) fds.push_back(std::move(fd));
  return got;
}

Status send(BorrowedFd socket, const abi::MessageHeader& header, std::span<const std::byte> body,
            std::span<const BorrowedFd> fds, Blocking blocking, std::span<const std::byte> tail) {
  if (fds.size() > abi::kMaxFds) {
    return fail(E2BIG, "{} descriptors in a message, at most {}", fds.size(), abi::kMaxFds);
  }
  if (body.size() + tail.size() > abi::kMaxBody) {
    return fail(E2BIG, "a body of {} bytes, at most {}", body.size() + tail.size(), abi::kMaxBody);
  }
  ControlBuffer control;
  iovec parts[] = {part_of(std::as_bytes(std::span(&header, 1))), part_of(body), part_of(tail)};
  msghdr raw{};
  raw.msg_iov = parts;
  raw.msg_iovlen = std::size(parts);
  put_rights(fds, control.bytes, raw);
  TRY(sys::sendmsg(socket, raw, blocking == Blocking::kNo ? MSG_DONTWAIT : 0));
  return {};
}

abi::MessageHeader request_header(abi::Request request, uint64_t sequence, uint32_t flags) {
  abi::MessageHeader header{};
  header.magic = abi::kWireMagic;
  header.version = abi::kWireVersion;
  header.request = static_cast<uint16_t>(request);
  header.flags = flags;
  header.sequence = sequence;
  return header;
}

abi::MessageHeader reply_header(const abi::MessageHeader& request, int result) {
  abi::MessageHeader header =
      request_header(static_cast<abi::Request>(request.request), request.sequence, abi::kFlagReply);
  header.result = result;
  return header;
}

abi::MessageHeader event_header() {
  return request_header(abi::Request::kEvent, 0, abi::kFlagEvent);
}

Status expect_fds(const Message& message, size_t count) {
  const size_t got = message.fds.size();
  if (got < count) return fail(EBADF, "{} descriptors came, {} are needed", got, count);
  if (got > count) return fail(EINVAL, "{} descriptors came, {} are expected", got, count);
  return {};
}

}  // namespace outlive::wire
