#include "daemon/fleet_post.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>

#include "base/clock.h"
#include "base/sys.h"

namespace outlive::daemon {
namespace {

// A port of 127.0.0.1 that is nobody else's; whoever connects is refused until it listens.
class Port {
 public:
  Port() : socket_(sys::socket(AF_INET, SOCK_STREAM).take()) {
    at_ = parse_listen_address("tcp:127.0.0.1:0").take();
    auto* address = reinterpret_cast<sockaddr*>(&at_.address);
    EXPECT_TRUE(sys::bind(socket_, address, at_.length));
    EXPECT_EQ(::getsockname(socket_.get(), address, &at_.length), 0);
  }
  const ListenAddress& at() const { return at_; }
  const UniqueFd& socket() const { return socket_; }

 private:
  UniqueFd socket_;
  ListenAddress at_;
};

TEST(FleetPost, ConnectsToTheFirstThatAnswers) {
  const uint64_t deadline = system_clock().now_ns() + 60'000'000'000;
  const Port dead;
  const Port first;
  const Port second;
  EXPECT_EQ(connect_to_any(std::vector{dead.at(), first.at()}, deadline).error().code,
            ECONNREFUSED);
  for (const Port* one : {&first, &second}) ASSERT_TRUE(sys::listen(one->socket(), 1));
  const auto connected = connect_to_any(std::vector{dead.at(), first.at(), second.at()}, deadline);
  ASSERT_TRUE(connected) << connected.error().text();
  sockaddr_in peer{};
  socklen_t length = sizeof peer;
  ASSERT_EQ(::getpeername(connected->get(), reinterpret_cast<sockaddr*>(&peer), &length), 0);
  EXPECT_EQ(peer.sin_port, reinterpret_cast<const sockaddr_in&>(first.at().address).sin_port);
  EXPECT_EQ(connect_to_any({}, deadline).error().code, ENOENT);
}

}  // namespace
}  // namespace outlive::daemon
