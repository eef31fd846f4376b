#include "daemon/listen_address.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <unistd.h>

#include "base/sys.h"

namespace outlive::daemon {
namespace {

TEST(ListenAddress, EveryFormIsRead) {
  const auto plain = parse_listen_address("127.0.0.1:8080");
  ASSERT_TRUE(plain);
  EXPECT_EQ(plain->domain, AF_INET);
  EXPECT_EQ(plain->type, SOCK_STREAM);
  EXPECT_EQ(plain->port, 8080);
  EXPECT_EQ(plain->name, "unknown");
  const auto named = parse_listen_address("http=tcp:[::1]:80");
  ASSERT_TRUE(named);
  EXPECT_EQ(named->name, "http");
  EXPECT_EQ(named->domain, AF_INET6);
  const auto udp = parse_listen_address("udp::53");
  ASSERT_TRUE(udp);
  EXPECT_EQ(udp->type, SOCK_DGRAM);
  const auto path = parse_listen_address("ctl=unix:/run/x=y.sock");
  ASSERT_TRUE(path);
  EXPECT_EQ(path->name, "ctl");
  EXPECT_EQ(path->text, "unix:/run/x=y.sock");
}

TEST(ListenAddress, WhatIsWrongIsNamed) {
  for (const char* bad : {"", "8080", "host.example:80", "127.0.0.1:", "127.0.0.1:99999", "[::1:80",
                          "=127.0.0.1:80", "unix:"}) {
    EXPECT_FALSE(parse_listen_address(bad)) << bad;
  }
  EXPECT_EQ(parse_listen_address("unix:" + std::string(200, 'x')).error().code, ENAMETOOLONG);
}

TEST(ListenAddress, IsBoundAndListens) {
  const auto address = parse_listen_address("127.0.0.1:0");
  ASSERT_TRUE(address);
  const auto socket = open_listener(*address, geteuid());
  ASSERT_TRUE(socket) << socket.error().message;
  EXPECT_EQ(*sys::get_int_option(*socket, SOL_SOCKET, SO_ACCEPTCONN), 1);
  EXPECT_EQ(*sys::get_fd_flags(*socket) & FD_CLOEXEC, 0);
}

TEST(ListenAddress, OtherUsersGetNoRightsOfOurs) {
  const auto low = parse_listen_address("127.0.0.1:80");
  const auto refused = open_listener(*low, geteuid() + 1);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, EACCES);
  const auto path = parse_listen_address("unix:/tmp/never");
  EXPECT_EQ(open_listener(*path, geteuid() + 1).error().code, EACCES);
}

}  // namespace
}  // namespace outlive::daemon
