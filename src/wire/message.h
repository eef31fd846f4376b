// Messages of the socket protocol (abi/wire.h) over one SOCK_SEQPACKET connection: a packet is a
// header, a body and fds.
//
// Server:   peek() -> carry it out, commit -> send() the reply -> consume()
// Client:   send() the request -> receive() until the reply of its sequence
//
// Facts about such sockets that this file deals with:
//  - Every peek installs *new* fds. They belong to the Message and are closed with it.
//  - Fds that don't fit (control buffer, RLIMIT_NOFILE) are closed silently by the kernel, with
//    MSG_CTRUNC: that is Arrival::kRefused with EMFILE, and none of the message's fds stays open.
//  - Closing a received fd can block (SO_LINGER, FUSE), and so can taking a message whose fds were
//    lost. Who must not wait gives peek() a place for fds that nobody gets (Unwanted).
//  - When the peer died with a reply unread, recv says ECONNRESET once and then still gives what
//    the peer had sent: Arrival::kReset means "read on".
//  - Zero bytes are the end only together with POLLHUP; without, they are an empty packet (EPROTO).
//
// Nothing here keeps state; threads: one a connection.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "abi/wire.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace outlive::wire {

// Where a message is received into: one a connection or one a loop, 33 KiB.
struct Buffer {
  alignas(8) std::byte bytes[sizeof(abi::MessageHeader) + abi::kMaxBody];
};

struct Message {
  abi::MessageHeader header{};
  std::span<const std::byte> body;  // in the Buffer: valid until that is used again
  std::vector<UniqueFd> fds;

  abi::Request request() const { return static_cast<abi::Request>(header.request); }
};

enum class Arrival {
  kMessage,
  kRefused,  // a message of ours that can't be taken: `refusal` is what to answer. consume() it.
  kNothing,  // EAGAIN
  kReset,    // ECONNRESET, once: read on, what the peer sent before is still to come
  kClosed,   // the end: nothing will come any more
};

struct Received {
  Arrival arrival = Arrival::kNothing;
  Message message;        // kMessage; kRefused: the header only
  Error refusal{0, {}};   // kRefused: EMFILE (fds were lost), E2BIG (body larger than kMaxBody)
  bool lost_fds = false;  // consume() closes files that were never installed: it may block
};

// Whether received fds are closed on exec. What outlived holds for clients must not be.
enum class FdFlag { kCloexec, kKeep };
enum class Blocking { kNo, kYes };

// The next message, left in the socket. An error is the connection's end: EPROTO (not our
// protocol; which field is in the text) or the socket's own error.
// `unwanted`: takes the fds of a message that isn't returned; nullptr: they are closed.
using Unwanted = std::vector<UniqueFd>;
Result<Received> peek(BorrowedFd socket, Buffer& buffer, FdFlag flag = FdFlag::kKeep,
                      Unwanted* unwanted = nullptr);
// The next message, taken.
Result<Received> receive(BorrowedFd socket, Buffer& buffer, Blocking blocking = Blocking::kYes,
                         FdFlag flag = FdFlag::kCloexec);
// Takes the message that was peeked off the socket; installs no fd. EAGAIN: there is none.
Status consume(BorrowedFd socket);
// Takes bytes off a stream, with the descriptors that came along: who read them without a place for
// them would close them, which may block.
Result<size_t> take_bytes(BorrowedFd socket, std::span<std::byte> into, Unwanted& fds);
// One packet, whole or not at all. EAGAIN when it would block (Blocking::kNo); EMSGSIZE.
// `body` may be in two parts: a structure and what follows it.
Status send(BorrowedFd socket, const abi::MessageHeader& header, std::span<const std::byte> body,
            std::span<const BorrowedFd> fds = {}, Blocking blocking = Blocking::kNo,
            std::span<const std::byte> tail = {});

abi::MessageHeader request_header(abi::Request request, uint64_t sequence, uint32_t flags = 0);
// The reply to `request`; `result` is 0 or -errno.
abi::MessageHeader reply_header(const abi::MessageHeader& request, int result);
abi::MessageHeader event_header();

// The message carries exactly `count` fds; EBADF when there are fewer, EINVAL when more.
Status expect_fds(const Message& message, size_t count);

}  // namespace outlive::wire
