#include "wire/varlink_client.h"

#include <chrono>

#include "base/sys.h"

namespace outlive::wire {
namespace {

using SteadyClock = std::chrono::steady_clock;

// The Error in an error reply: ours carry errno and message, those of org.varlink.service don't.
Error error_of(const VarlinkReply& reply) {
  const auto code = param<std::optional<int64_t>>(reply.parameters, "errno");
  const auto message = param<std::optional<std::string>>(reply.parameters, "message");
  if (code && message && *code && *message && **code > 0 && **code < 4096) {
    return Error{static_cast<int>(**code), **message};
  }
  if (reply.error == "org.varlink.service.InvalidParameter") {
    const auto name = param<std::string>(reply.parameters, "parameter");
    return bad_param(name ? *name : "?", "was refused by outlived");
  }
  if (reply.error.starts_with("org.varlink.service.")) {
    return fail(ENOSYS, "outlived doesn't know this call ({}): is it an older version?",
                reply.error);
  }
  return fail(EREMOTEIO, "outlived answered {}", reply.error);
}

}  // namespace

Result<VarlinkClient> VarlinkClient::connect(const std::string& path) {
  UniqueFd socket = TRY(sys::socket(AF_UNIX, SOCK_STREAM));
  const sys::UnixAddress address = TRY(sys::unix_address(path));
  TRY(sys::connect(socket, reinterpret_cast<const sockaddr*>(&address.address), address.length)
          .context("{}", path));
  return VarlinkClient(std::move(socket));
}

Status VarlinkClient::send(const VarlinkCall& call) {
  const std::string text = call_text(call);
  if (text.size() > kMaxVarlinkMessage) {
    return fail(E2BIG, "the call is longer than {} bytes", kMaxVarlinkMessage);
  }
  std::span<const std::byte> rest = std::as_bytes(std::span(text));
  while (!rest.empty()) {
    Result<size_t> sent = sys::send(socket_, rest, MSG_NOSIGNAL);
    if (!sent && sent.error().code == EPIPE) {
      return fail(ECONNRESET, "outlived closed the connection");
    }
    const size_t done = TRY(std::move(sent));
    rest = rest.subspan(done);
  }
  return {};
}

Result<bool> VarlinkClient::wait_readable(int timeout_ms) {
  const UniqueFd epoll = TRY(sys::epoll_create());
  TRY(sys::epoll_ctl(epoll, EPOLL_CTL_ADD, socket_, EPOLLIN, 0));
  if (interrupt_.valid()) {
    TRY(sys::epoll_ctl(epoll, EPOLL_CTL_ADD, interrupt_, EPOLLIN, 1));
  }
  epoll_event events[2] = {};
  const size_t count = TRY(sys::epoll_wait(epoll, events, timeout_ms));
  for (size_t i = 0; i < count; ++i) {
    if (events[i].data.u64 == 1) return fail(ECANCELED, "interrupted");
  }
  return count > 0;
}

Result<std::optional<VarlinkReply>> VarlinkClient::receive(int timeout_ms) {
  const auto deadline = SteadyClock::now() + std::chrono::milliseconds(timeout_ms);
  for (;;) {
    if (std::optional<std::string> message = TRY(framer_.next())) {
      VarlinkReply reply = TRY(parse_reply(*message));
      return std::optional<VarlinkReply>(std::move(reply));
    }
    int left = -1;
    if (timeout_ms >= 0) {
      const auto rest = std::chrono::ceil<std::chrono::milliseconds>(deadline - SteadyClock::now());
      left = static_cast<int>(std::max<int64_t>(0, rest.count()));
    }
    const bool readable = TRY(wait_readable(left));
    if (!readable) {
      if (timeout_ms >= 0 && SteadyClock::now() >= deadline) return std::optional<VarlinkReply>();
      continue;  // a signal
    }
    char buffer[16384];
    const size_t got = TRY(sys::recv(socket_, std::as_writable_bytes(std::span(buffer)), 0));
    if (got == 0) {
      return fail(ECONNRESET, "outlived closed the connection {}",
                  framer_.empty() ? "before it replied" : "in the middle of a reply");
    }
    framer_.append({buffer, got});
  }
}

Result<VarlinkReply> VarlinkClient::await() {
  std::optional<VarlinkReply> reply = TRY(receive(timeout_ms_));
  if (!reply) return fail(ETIMEDOUT, "outlived didn't reply within {} ms", timeout_ms_);
  return *std::move(reply);
}

Result<Json> VarlinkClient::check(VarlinkReply reply) {
  if (reply.error.empty()) return std::move(reply.parameters);
  failure_ = std::move(reply);
  return error_of(*failure_);
}

Result<Json> VarlinkClient::call(std::string_view method, const Json& parameters) {
  failure_.reset();
  TRY(send({.method = std::string(method), .parameters = parameters}));
  VarlinkReply reply = TRY(await());
  if (reply.continues) return fail(EPROTO, "{}: several replies where one was asked for", method);
  return check(std::move(reply));
}

Result<Json> VarlinkClient::call_more(std::string_view method, const Json& parameters,
                                      const std::function<void(const Json&)>& each) {
  failure_.reset();
  TRY(send({.method = std::string(method), .parameters = parameters, .more = true}));
  for (;;) {
    VarlinkReply reply = TRY(await());
    if (!reply.continues || !reply.error.empty()) return check(std::move(reply));
    each(reply.parameters);
  }
}

}  // namespace outlive::wire
