#include "daemon/fleet_address.h"

#include <gtest/gtest.h>

namespace outlive::daemon {
namespace {

TEST(FleetAddress, Numeric) {
  struct Row {
    const char* text;
    int domain;
    uint16_t port;
    const char* host;
    const char* path;
  };
  for (const Row& row :
       {Row{"http://10.0.0.1:8080/fleet/x", AF_INET, 8080, "10.0.0.1:8080", "/fleet/x"},
        Row{"http://10.0.0.1", AF_INET, 80, "10.0.0.1", "/"},
        Row{"http://[::1]:81", AF_INET6, 81, "[::1]:81", "/"},
        Row{"http://[fe80::1]/a?b=c", AF_INET6, 80, "[fe80::1]", "/a?b=c"}}) {
    const auto address = parse_fleet_address(row.text);
    ASSERT_TRUE(address) << address.error().text();
    EXPECT_EQ(address->at.domain, row.domain) << row.text;
    EXPECT_EQ(address->at.port, row.port) << row.text;
    EXPECT_EQ(address->host, row.host);
    EXPECT_EQ(address->path, row.path);
  }
}

TEST(FleetAddress, Wrong) {
  for (const char* text :
       {"", "http://", "https://10.0.0.1/", "10.0.0.1:80", "http://fleet.example/", "http://:80/",
        "http:///x", "http://10.0.0.1:0/", "http://10.0.0.1:65536/", "http://10.0.0.1:80/a b",
        "http://10.0.0.1/a\r\nX: y", "http://::1/", "http://[::1"}) {
    EXPECT_EQ(parse_fleet_address(text).error().code, EINVAL) << text;
  }
}

}  // namespace
}  // namespace outlive::daemon
