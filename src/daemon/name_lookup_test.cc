#include "daemon/name_lookup.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/sys.h"

namespace outlive::daemon {
namespace {

constexpr uint64_t kLong = 60'000'000'000;

uint64_t in_ns(uint64_t time) {
  return system_clock().now_ns() + time;
}

bool has_children() {
  return ::waitpid(-1, nullptr, WNOHANG) >= 0 || errno != ECHILD;
}

// 10.0.0.1, a Unix socket, and ::1.
int three(const char*, const char*, const addrinfo* hints, addrinfo** found) {
  static sockaddr_in v4{};
  static sockaddr_un local{};
  static sockaddr_in6 v6{};
  static addrinfo list[3] = {};
  v4.sin_family = AF_INET;
  ::inet_pton(AF_INET, "10.0.0.1", &v4.sin_addr);
  v6.sin6_family = AF_INET6;
  v6.sin6_addr = in6addr_loopback;
  const auto fill = [&](int at, auto& address, int family, addrinfo* next) {
    list[at].ai_family = family;
    list[at].ai_addr = reinterpret_cast<sockaddr*>(&address);
    list[at].ai_addrlen = sizeof address;
    list[at].ai_next = next;
  };
  fill(0, v4, AF_INET, &list[1]);
  fill(1, local, AF_UNIX, &list[2]);
  fill(2, v6, AF_INET6, nullptr);
  *found = list;
  return hints->ai_socktype == SOCK_STREAM ? 0 : EAI_SOCKTYPE;
}

int blocks(const char*, const char*, const addrinfo*, addrinfo**) {
  for (;;) ::pause();
}

int dies(const char*, const char*, const addrinfo*, addrinfo**) {
  ::_exit(0);
}

template <int kCode>
int says(const char*, const char*, const addrinfo*, addrinfo**) {
  return kCode;
}

TEST(NameLookup, AllAddressesInTheirOrder) {
  const auto found = look_up_name("three", 8080, in_ns(kLong), &three);
  ASSERT_TRUE(found) << found.error().text();
  ASSERT_EQ(found->size(), 2u);
  const auto& first = reinterpret_cast<const sockaddr_in&>(found->at(0).address);
  EXPECT_EQ(found->at(0).domain, AF_INET);
  EXPECT_EQ(found->at(0).length, sizeof(sockaddr_in));
  EXPECT_EQ(ntohl(first.sin_addr.s_addr), 0x0a000001u);
  EXPECT_EQ(ntohs(first.sin_port), 8080);
  const auto& second = reinterpret_cast<const sockaddr_in6&>(found->at(1).address);
  EXPECT_EQ(found->at(1).domain, AF_INET6);
  EXPECT_EQ(found->at(1).length, sizeof(sockaddr_in6));
  EXPECT_EQ(memcmp(&second.sin6_addr, &in6addr_loopback, sizeof second.sin6_addr), 0);
  EXPECT_EQ(ntohs(second.sin6_port), 8080);
  EXPECT_FALSE(has_children());
}

TEST(NameLookup, OneOfEtcHosts) {
  const auto found = look_up_name("localhost", 80, in_ns(kLong));
  ASSERT_TRUE(found) << found.error().text();
  EXPECT_FALSE(found->empty());
}

TEST(NameLookup, NoLongerThanItMay) {
  const uint64_t begun = system_clock().now_ns();
  const auto late = look_up_name("late.example", 80, in_ns(50'000'000), &blocks);
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, ETIMEDOUT);
  EXPECT_EQ(late.error().message, "'late.example': no answer in time");
  EXPECT_GE(system_clock().now_ns() - begun, 50'000'000u);
  EXPECT_FALSE(has_children()) << "killed and buried";
  EXPECT_EQ(look_up_name("x", 80, 0, &three).error().code, ETIMEDOUT);
}

TEST(NameLookup, WhyNot) {
  const auto nobody = look_up_name("nobody.example", 80, in_ns(kLong), &says<EAI_NONAME>);
  ASSERT_FALSE(nobody);
  EXPECT_EQ(nobody.error().code, ENOENT);
  EXPECT_EQ(nobody.error().message, "'nobody.example': Name or service not known");
  EXPECT_EQ(look_up_name("x", 80, in_ns(kLong), &says<EAI_AGAIN>).error().code, EAGAIN);
  EXPECT_EQ(look_up_name("x", 80, in_ns(kLong), &says<EAI_FAIL>).error().code, EIO);
  EXPECT_EQ(look_up_name("x", 80, in_ns(kLong), &says<0>).error().code, ENOENT) << "no address";
  const auto died = look_up_name("x", 80, in_ns(kLong), &dies);
  ASSERT_FALSE(died);
  EXPECT_EQ(died.error().code, EIO);
  EXPECT_FALSE(has_children());
}

}  // namespace
}  // namespace outlive::daemon
