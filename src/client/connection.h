// One connection to outlived, a device's or a session's: synchronous requests, numbered, one in
// flight; replies of other sequences are dropped (outlived's worker may answer twice when it died
// in between), events that come meanwhile are kept for the next dispatch.
//
// Happy path:   call() -> the reply. pump() -> events.
// Unhappy:      a refused request is an Error with outlived's text, and the connection goes on.
//               The end of the connection, or what is not the protocol, is for good: `lost`.
#pragma once

#include <deque>
#include <optional>
#include <vector>

#include "abi/wire.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "wire/body.h"
#include "wire/message.h"

namespace outlive::client {

struct Event {
  abi::EventBody body;
  bool kernel = false;  // abi::kFlagKernel
};

struct Reply {
  std::vector<std::byte> body;
  std::vector<UniqueFd> fds;
};

// A request beside its structure.
struct Extras {
  std::span<const std::byte> tail = {};
  std::span<const BorrowedFd> fds = {};
  uint32_t flags = 0;
  size_t reply_fds = 0;  // that the reply must carry: EPROTO otherwise
};

class Connection {
 public:
  explicit Connection(UniqueFd socket) : socket_(std::move(socket)) {}

  template <typename T>
  Result<Reply> call(abi::Request request, const T& structure, const Extras& extras = {}) {
    return call_bytes(request, wire::bytes_of(structure), extras);
  }
  Result<Reply> call_bytes(abi::Request request, std::span<const std::byte> body,
                           const Extras& extras);
  // The two halves of a call: several requests may be posted before their replies are collected, in
  // the same order and all of them (a lone round trip waits twice for the scheduler). The sequence.
  Result<uint64_t> post(abi::Request request, std::span<const std::byte> body,
                        const Extras& extras);
  Result<Reply> collect(uint64_t sequence, size_t reply_fds);

  // Takes what has arrived, without blocking. ECONNRESET: lost (events taken before stay).
  Status pump();
  bool has_event() const { return !events_.empty(); }
  std::optional<Event> next_event();

  // For a connection that somebody else has used before: asks outlived for the last sequence
  // (abi::kAskSequence).
  Status learn_sequence();

  BorrowedFd socket() const { return socket_; }
  int release() { return socket_.release(); }

 private:
  Status take(wire::Message& message, uint64_t awaited, std::optional<wire::Message>& reply);
  Result<wire::Message> await(uint64_t sequence);
  Error lose(Error error);

  UniqueFd socket_;
  uint64_t last_sequence_ = 0;
  std::optional<Error> lost_;
  std::deque<Event> events_;
};

}  // namespace outlive::client
