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

TEST(FleetAddress, Names) {
  struct Row {
    const char* text;
    const char* name;
    uint16_t port;
    const char* host;
    const char* path;
  };
  const std::string longest = std::string(63, 'a') + "." + std::string(63, 'b');
  const std::string long_one = "http://" + longest + "/";
  for (const Row& row :
       {Row{"http://localhost", "localhost", 80, "localhost", "/"},
        Row{"http://fleet-2.example:8080/x", "fleet-2.example", 8080, "fleet-2.example:8080", "/x"},
        Row{"http://fleet.example.:1", "fleet.example.", 1, "fleet.example.:1", "/"},
        Row{"http://10.0.0.1.example", "10.0.0.1.example", 80, "10.0.0.1.example", "/"},
        Row{"http://4you/a:b", "4you", 80, "4you", "/a:b"},
        Row{long_one.c_str(), longest.c_str(), 80, longest.c_str(), "/"}}) {
    const auto address = parse_fleet_address(row.text);
    ASSERT_TRUE(address) << address.error().text();
    EXPECT_EQ(address->name, row.name);
    EXPECT_EQ(address->at.port, row.port) << row.text;
    EXPECT_EQ(address->host, row.host);
    EXPECT_EQ(address->path, row.path);
  }
  EXPECT_EQ(parse_fleet_address("http://10.0.0.1")->name, "");
  EXPECT_EQ(parse_fleet_address("http://[::1]")->name, "");
}

TEST(FleetAddress, WrongNames) {
  for (const std::string host : {".", "a..b", ".a", "a..", "-a", "a.-b", "a b", "a%b", "a@b",
                                 "10.1", "10", "a.1", "1.2.3.4.5",
                                 "b\xc3\xbc"
                                 "cher",
                                 "a:b", "a:0", "a:", "[a]", "[fleet.example]:80"}) {
    EXPECT_EQ(parse_fleet_address("http://" + host).error().code, EINVAL) << host;
  }
  for (const std::string& host : {std::string(64, 'a'), "a." + std::string(64, 'b') + ".c",
                                  std::string(127, 'x').replace(63, 1, ".") + "." +
                                      std::string(127, 'y').replace(63, 1, ".")}) {
    EXPECT_EQ(parse_fleet_address("http://" + host).error().code, EINVAL) << host;
  }
}

TEST(FleetAddress, Wrong) {
  for (const char* text :
       {"", "http://", "https://10.0.0.1/", "10.0.0.1:80", "http://:80/", "http:///x",
        "http://10.0.0.1:0/", "http://10.0.0.1:65536/", "http://10.0.0.1:80/a b",
        "http://10.0.0.1/a\r\nX: y", "http://::1/", "http://[::1"}) {
    EXPECT_EQ(parse_fleet_address(text).error().code, EINVAL) << text;
  }
}

}  // namespace
}  // namespace outlive::daemon
