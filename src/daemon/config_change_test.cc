#include "daemon/config_change.h"

#include <gtest/gtest.h>

namespace outlive::daemon {
namespace {

Config config(std::string_view text) {
  Result<Config> parsed = parse_config(text, "f.toml");
  EXPECT_TRUE(parsed) << (parsed ? "" : parsed.error().message);
  return parsed ? parsed.take() : Config{};
}

ConfigChange change(std::string_view before, std::string_view after) {
  return compare(config(before), config(after));
}

using Lines = std::vector<std::string>;

TEST(ConfigChange, TheSameIsNoChange) {
  const ConfigChange same = change("[limits]\nfds = 5\n", "[limits]\nfds = 5 # a comment\n");
  EXPECT_EQ(same.applied, Lines{});
  EXPECT_EQ(same.pending, Lines{});
}

TEST(ConfigChange, WhatIsReadWhileItRunsIsApplied) {
  const ConfigChange one = change("", R"(
[outlived]
log-level = "debug"
[limits]
sessions-per-uid = 7
worker-deaths = 3
[update]
freeze-timeout-ms = 250
[metrics]
listen = "127.0.0.1:9464"
)");
  const Lines wanted = {R"([outlived] log-level: "info" -> "debug")",
                        "[limits] worker-deaths: 10 -> 3", "[limits] sessions-per-uid: 1024 -> 7",
                        "[update] freeze-timeout-ms: 2000 -> 250",
                        R"([metrics] listen: "" -> "127.0.0.1:9464")"};
  EXPECT_EQ(one.applied, wanted);
  EXPECT_EQ(one.pending, Lines{});
  EXPECT_EQ(one.config.limits.sessions, 7u);
  EXPECT_EQ(one.config.times.freeze, 250'000'000u);
}

// And so another reload compares with what is really in force.
TEST(ConfigChange, WhatOnlyAStartReadsKeepsItsValue) {
  const ConfigChange one = change("[kho]\narena-max = \"64M\"\n", R"(
[outlived]
runtime-dir = "/other"
[kho]
arena-max = "32M"
[liveupdate]
enabled = false
[limits]
fds = 100
)");
  EXPECT_EQ(one.applied, Lines{});
  ASSERT_EQ(one.pending.size(), 4u);
  EXPECT_EQ(one.pending[0],
            "[outlived] runtime-dir: default -> \"/other\": when outlived is started anew");
  EXPECT_EQ(one.pending[1], "[kho] arena-max: 67108864 -> 33554432: when outlived is started anew");
  EXPECT_EQ(one.config.arena_max, uint64_t{64} << 20);
  EXPECT_FALSE(one.config.runtime_dir);
  EXPECT_TRUE(one.config.liveupdate_enabled);
  EXPECT_EQ(one.config.fds, 0u);
}

TEST(ConfigChange, RegionsCanOnlyBeAdded) {
  const ConfigChange one = change("[kho]\nreserve-mem = [\"a 1M 4K\", \"b 1M 4K\"]\n",
                                  "[kho]\nreserve-mem = [\"a 64K 4K\", \"c 1M 4K\"]\n");
  EXPECT_EQ(one.applied, Lines{"[kho] reserve-mem: 'c' is reserved"});
  ASSERT_EQ(one.pending.size(), 2u);
  EXPECT_NE(one.pending[0].find("'a' keeps its 1048576 bytes"), std::string::npos);
  EXPECT_NE(one.pending[1].find("'b' stays reserved"), std::string::npos);
  ASSERT_EQ(one.new_regions.size(), 1u);
  EXPECT_EQ(one.new_regions[0].name, "c");
  ASSERT_EQ(one.config.regions.size(), 3u);
  EXPECT_EQ(one.config.regions[0].size, uint64_t{1} << 20);
}

TEST(ConfigChange, Services) {
  const ConfigChange one = change(R"(
[services.stays]
command = ["/bin/a"]
[services.changes]
command = ["/bin/a"]
[services.goes]
command = ["/bin/a"]
)",
                                  R"(
[services.stays]
command = ["/bin/a"]
[services.changes]
command = ["/bin/b"]
[services.comes]
command = ["/bin/a"]
)");
  EXPECT_EQ(one.new_services, Lines{"comes"});
  EXPECT_EQ(one.changed_services, Lines{"changes"});
  ASSERT_EQ(one.pending.size(), 1u);
  EXPECT_NE(one.pending[0].find("'goes' is configured no more"), std::string::npos);
}

}  // namespace
}  // namespace outlive::daemon
