// Test only: an outlived of one connection that does what a script says, in a thread of its own.
//
//   FakeServer server([](FakePeer& peer) {
//     auto request = peer.expect(abi::Request::kReady);
//     peer.reply(request, wire::sized<abi::StepRequest>());
//   });
//   outlive_connect(server.dir().c_str(), 0, &client);
//
// The script's own assertions are gtest's; the destructor waits for its end.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "base/sys.h"
#include "wire/body.h"
#include "wire/message.h"

namespace outlive::client {

// A request that came, with its own copy of the body.
struct FakeRequest {
  abi::MessageHeader header{};
  std::vector<std::byte> body;
  std::vector<UniqueFd> fds;

  template <typename T>
  T as() const {
    auto value = wire::read_body<T>(body);
    EXPECT_TRUE(value) << value.error().message;
    return value ? *value : T{};
  }
  std::vector<uint64_t> tokens(size_t count) const {
    auto values = wire::read_tail<uint64_t>(body, count);
    EXPECT_TRUE(values) << values.error().message;
    return values ? values.take() : std::vector<uint64_t>{};
  }
};

class FakePeer {
 public:
  explicit FakePeer(UniqueFd socket) : socket_(std::move(socket)) {}

  // The next request, which must be this one and have the next sequence.
  FakeRequest expect(abi::Request request) {
    FakeRequest got = next();
    EXPECT_EQ(got.header.request, static_cast<uint16_t>(request));
    EXPECT_EQ(got.header.sequence, ++sequence_);
    return got;
  }
  FakeRequest next() {
    for (;;) {
      auto received = wire::receive(socket_, buffer_);
      EXPECT_TRUE(received) << received.error().message;
      if (!received || received->arrival == wire::Arrival::kClosed) {
        ADD_FAILURE() << "the client has closed, and a request was expected";
        return {};
      }
      if (received->arrival != wire::Arrival::kMessage) continue;
      auto& message = received->message;
      return {message.header, {message.body.begin(), message.body.end()}, std::move(message.fds)};
    }
  }
  // Blocks until the client has gone.
  void expect_end() {
    for (;;) {
      auto received = wire::receive(socket_, buffer_);
      ASSERT_TRUE(received) << received.error().message;
      if (received->arrival == wire::Arrival::kClosed) return;
      ASSERT_NE(received->arrival, wire::Arrival::kMessage) << "one more request";
    }
  }
  template <typename T>
  void reply(const FakeRequest& request, const T& body, std::vector<BorrowedFd> fds = {},
             std::span<const std::byte> tail = {}) {
    send(wire::reply_header(request.header, 0), wire::bytes_of(body), fds, tail);
  }
  void done(const FakeRequest& request) {
    send(wire::reply_header(request.header, 0), request.body, {}, {});
  }
  void refuse(const FakeRequest& request, int code, const std::string& text) {
    const auto body = wire::error_body(Error{code, text});
    send(wire::reply_header(request.header, -code), wire::bytes_of(body), {}, {});
  }
  void event(abi::Step step, uint64_t update, const std::string& reason = "") {
    auto body = wire::sized<abi::EventBody>();
    body.step = static_cast<uint32_t>(step);
    body.update = update;
    body.deadline_ns = 123;
    wire::write_text(reason, body.reason);
    send(wire::event_header(), wire::bytes_of(body), {}, {});
  }
  void send(const abi::MessageHeader& header, std::span<const std::byte> body,
            std::span<const BorrowedFd> fds, std::span<const std::byte> tail) {
    const auto sent = wire::send(socket_, header, body, fds, wire::Blocking::kYes, tail);
    EXPECT_TRUE(sent) << sent.error().message;
  }
  // Takes the role of outlived in CREATE_SESSION or RETRIEVE_SESSION; the session's other end.
  FakePeer hand_out_session(abi::Request request) {
    const FakeRequest got = expect(request);
    auto pair = sys::socketpair(SOCK_SEQPACKET);
    EXPECT_TRUE(pair);
    reply(got, got.as<abi::SessionRequest>(), {pair->second});
    return FakePeer(std::move(pair->first));
  }
  void participate(abi::Role role, uint64_t update = 0) {
    const FakeRequest got = expect(abi::Request::kParticipate);
    auto body = wire::sized<abi::ParticipateReply>();
    body.role = static_cast<uint32_t>(role);
    body.update = update;
    reply(got, body);
  }
  // The client's answer to an event.
  abi::StepRequest answered(abi::Request verb, abi::Step step, uint64_t update) {
    const FakeRequest got = expect(verb);
    const auto body = got.as<abi::StepRequest>();
    EXPECT_EQ(body.step, static_cast<uint32_t>(step));
    EXPECT_EQ(uint64_t{body.update}, update);
    done(got);
    return body;
  }
  UniqueFd& socket() { return socket_; }
  void set_sequence(uint64_t sequence) { sequence_ = sequence; }

 private:
  UniqueFd socket_;
  uint64_t sequence_ = 0;
  wire::Buffer buffer_;
};

// A folder of its own, gone with it.
class FakeRuntime {
 public:
  FakeRuntime() {
    char name[] = "/tmp/outlive-client-test.XXXXXX";
    EXPECT_NE(::mkdtemp(name), nullptr);
    dir_ = name;
  }
  ~FakeRuntime() { std::filesystem::remove_all(dir_); }
  FakeRuntime(const FakeRuntime&) = delete;
  FakeRuntime& operator=(const FakeRuntime&) = delete;
  const std::string& dir() const { return dir_; }

  UniqueFd listen(const std::string& name, int type) {
    auto socket = sys::socket(AF_UNIX, type);
    auto address = sys::unix_address(dir_ + "/" + name);
    EXPECT_TRUE(socket && address);
    EXPECT_TRUE(
        sys::bind(*socket, reinterpret_cast<const sockaddr*>(&address->address), address->length));
    EXPECT_TRUE(sys::listen(*socket, 8));
    return socket.take();
  }

 private:
  std::string dir_;
};

class FakeServer {
 public:
  using Script = std::function<void(FakePeer&)>;
  explicit FakeServer(Script script)
      : listener_(runtime_.listen("liveupdate.sock", SOCK_SEQPACKET)),
        thread_([this, script = std::move(script)] {
          auto socket = sys::accept(listener_, 0);
          if (!socket) return;  // the test ended before it connected
          FakePeer peer(socket.take());
          script(peer);
        }) {}
  ~FakeServer() { finish(); }
  // Waits for the script's end: after this all that it sends is there.
  void finish() {
    static_cast<void>(sys::shutdown(listener_, SHUT_RDWR));
    if (thread_.joinable()) thread_.join();
  }
  const std::string& dir() const { return runtime_.dir(); }

 private:
  FakeRuntime runtime_;
  UniqueFd listener_;
  std::thread thread_;
};

}  // namespace outlive::client
