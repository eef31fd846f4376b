#include "client/connection.h"

#include <string.h>

namespace outlive::client {
namespace {

// Bodies are copied out of it before the next receive, so one a thread is enough.
thread_local wire::Buffer receive_buffer;

Error refused(const wire::Message& reply) {
  const int code = reply.header.result < 0 ? -reply.header.result : EPROTO;
  std::string text = wire::read_error_text(reply.body);
  if (text.empty()) text = strerrordesc_np(code) ? strerrordesc_np(code) : "refused";
  return Error{code, std::move(text)};
}

}  // namespace

Error Connection::lose(Error error) {
  lost_ = error;
  return error;
}

Result<Reply> Connection::call_bytes(abi::Request request, std::span<const std::byte> body,
                                     const Extras& extras) {
  const uint64_t sequence = TRY(post(request, body, extras));
  return collect(sequence, extras.reply_fds);
}

Result<uint64_t> Connection::post(abi::Request request, std::span<const std::byte> body,
                                  const Extras& extras) {
  if (lost_) return *lost_;
  const uint64_t sequence = last_sequence_ + 1;
  const auto header = wire::request_header(request, sequence, extras.flags);
  const auto sent =
      wire::send(socket_, header, body, extras.fds, wire::Blocking::kYes, extras.tail);
  if (!sent) {
    const int code = sent.error().code;
    if (code != EPIPE && code != ECONNRESET) return sent.error();
    return lose(fail(ECONNRESET, "outlived has closed the connection"));
  }
  last_sequence_ = sequence;
  return sequence;
}

Result<Reply> Connection::collect(uint64_t sequence, size_t reply_fds) {
  if (lost_) return *lost_;
  wire::Message reply = TRY(await(sequence));
  if (reply.header.result != 0) return refused(reply);
  if (reply.fds.size() != reply_fds) {
    return fail(EPROTO, "outlived's reply has {} descriptors, not {}", reply.fds.size(), reply_fds);
  }
  return Reply{{reply.body.begin(), reply.body.end()}, std::move(reply.fds)};
}

// Sorts one message: the awaited reply, an event, or a reply that nobody waits for.
Status Connection::take(wire::Message& message, uint64_t awaited,
                        std::optional<wire::Message>& reply) {
  if ((message.header.flags & abi::kFlagEvent) != 0) {
    auto event = wire::read_body<abi::EventBody>(message.body);
    if (!event) return lose(fail(EPROTO, "an event of outlived: {}", event.error().message));
    events_.push_back({*event, (message.header.flags & abi::kFlagKernel) != 0});
  } else if (message.header.sequence == awaited && awaited != 0) {
    reply = std::move(message);
  }
  return {};
}

Result<wire::Message> Connection::await(uint64_t sequence) {
  std::optional<wire::Message> reply;
  while (!reply) {
    auto received = wire::receive(socket_, receive_buffer);
    if (!received) return lose(received.take_error());
    switch ((*received).arrival) {
      case wire::Arrival::kMessage:
        TRY(take((*received).message, sequence, reply));
        break;
      case wire::Arrival::kRefused:
        if ((*received).message.header.sequence == sequence) return (*received).refusal;
        break;
      case wire::Arrival::kClosed:
        return lose(fail(ECONNRESET, "outlived has closed the connection"));
      case wire::Arrival::kReset:    // what it had sent before is still to come
      case wire::Arrival::kNothing:  // not of a blocking receive
        break;
    }
  }
  return std::move(*reply);
}

Status Connection::pump() {
  while (!lost_) {
    auto received = wire::receive(socket_, receive_buffer, wire::Blocking::kNo);
    if (!received) return lose(received.take_error());
    std::optional<wire::Message> reply;
    switch ((*received).arrival) {
      case wire::Arrival::kMessage:
        TRY(take((*received).message, 0, reply));
        break;
      case wire::Arrival::kNothing:
        return {};
      case wire::Arrival::kClosed:
        return lose(fail(ECONNRESET, "outlived has closed the connection"));
      case wire::Arrival::kReset:
      case wire::Arrival::kRefused:  // a reply that nobody waits for
        break;
    }
  }
  return *lost_;
}

std::optional<Event> Connection::next_event() {
  if (events_.empty()) return std::nullopt;
  const Event event = events_.front();
  events_.pop_front();
  return event;
}

Status Connection::learn_sequence() {
  const auto body = wire::sized<abi::GetNameRequest>();
  TRY(wire::send(socket_, wire::request_header(abi::Request::kGetName, abi::kAskSequence),
                 wire::bytes_of(body), {}, wire::Blocking::kYes));
  for (;;) {
    const wire::Received received = TRY(wire::receive(socket_, receive_buffer));
    if (received.arrival == wire::Arrival::kClosed) {
      return lose(fail(ECONNRESET, "the session's connection is closed"));
    }
    const auto& header = received.message.header;
    if (received.arrival != wire::Arrival::kMessage || header.result != -EPROTO) continue;
    if (header.sequence == abi::kAskSequence) {
      return fail(EPROTO, "outlived doesn't tell the session's last sequence");
    }
    last_sequence_ = header.sequence;
    return {};
  }
}

}  // namespace outlive::client
