#include "daemon/config_change.h"

#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <regex>

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
  EXPECT_EQ(same.refused, Lines{});
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

TEST(ConfigChange, WhatOnlyAStartReadsIsRefused) {
  const ConfigChange one = change("[kho]\narena-max = \"64M\"\n", R"(
[outlived]
runtime-dir = "/other"
[kho]
arena-max = "32M"
[liveupdate]
enabled = false
[limits]
fds = 100
sessions-per-uid = 7
)");
  EXPECT_EQ(one.applied, Lines{"[limits] sessions-per-uid: 1024 -> 7"});
  const Lines wanted = {"[outlived] runtime-dir: default -> \"/other\"",
                        "[kho] arena-max: 67108864 -> 33554432",
                        "[liveupdate] enabled: true -> false", "[limits] fds: 0 -> 100"};
  EXPECT_EQ(one.refused, wanted);
  EXPECT_EQ(one.config.arena_max, uint64_t{64} << 20);
  EXPECT_FALSE(one.config.runtime_dir);
  EXPECT_TRUE(one.config.liveupdate_enabled);
  EXPECT_EQ(one.config.fds, 0u);
}

TEST(ConfigChange, RegionsCanOnlyBeAdded) {
  const ConfigChange one = change("[kho]\nreserve-mem = [\"a 1M 4K\", \"b 1M 4K\"]\n",
                                  "[kho]\nreserve-mem = [\"a 64K 4K\", \"c 1M 4K\"]\n");
  EXPECT_EQ(one.applied, Lines{"[kho] reserve-mem: 'c' is reserved"});
  const Lines wanted = {"[kho] reserve-mem: 'a' has 1048576 bytes",
                        "[kho] reserve-mem: 'b' is reserved"};
  EXPECT_EQ(one.refused, wanted);
  ASSERT_EQ(one.new_regions.size(), 1u);
  EXPECT_EQ(one.new_regions[0].name, "c");
  ASSERT_EQ(one.config.regions.size(), 3u);
  EXPECT_EQ(one.config.regions[0].size, uint64_t{1} << 20);
}

TEST(ConfigChange, QuotasOfUsersThatHaveThemOrHadThem) {
  const ConfigChange one =
      change("[quota.5]\nsessions = 3\n", "[limits]\nfiles-per-uid = 9\n[quota.6]\nfiles = 7\n");
  const Lines wanted = {"[limits] files-per-uid: 8192 -> 9", "[quota.5] sessions: 3 -> 1024",
                        "[quota.5] files: 8192 -> 9", "[quota.6] files: 8192 -> 7"};
  EXPECT_EQ(one.applied, wanted);
}

// Another value of every key that packaging/outlive.toml has (which has every key that is read:
// tests/style). What a service's keys do is told of the service.
const std::map<std::string, std::string> kOthers = {
    {"[outlived] runtime-dir", R"("/other")"},
    {"[outlived] state-dir", R"("/other")"},
    {"[outlived] log-level", R"("error")"},
    {"[kho] enabled", "false\n[liveupdate]\nenabled = false"},
    {"[kho] arena-max", R"("2G")"},
    {"[kho] format", R"("newest")"},
    {"[kho] reserve-mem", R"(["new 1M 4K"])"},
    {"[liveupdate] enabled", "false"},
    {"[liveupdate] lease-ms", "5"},
    {"[liveupdate] on-incoming-failure", R"("fresh")"},
    {"[liveupdate] on-finish-failure", "\"reboot\"\nreboot-command = [\"/bin/true\"]"},
    {"[liveupdate] reboot-command", R"(["/bin/true"])"},
    {"[liveupdate] reboot-timeout-ms", "5"},
    {"[limits] fds", "100"},
    {"[limits] worker-deaths", "5"},
    {"[limits] worker-timeout-ms", "5000"},
    {"[limits] lookup-timeout-ms", "7000"},
    {"[limits] sessions-per-uid", "5"},
    {"[limits] files-per-uid", "5"},
    {"[limits] connections-per-uid", "5"},
    {"[limits] subtrees-per-uid", "5"},
    {"[limits] subtree-bytes-per-uid", R"("2M")"},
    {"[limits] services-per-uid", "5"},
    {"[limits] arena-bytes-per-uid", R"("2M")"},
    {"[limits] control-connections", "9"},
    {"[limits] control-connections-per-uid", "5"},
    {"[limits] worker-share-per-uid", "7"},
    {"[quota.1000] sessions", "5"},
    {"[quota.1000] files", "5"},
    {"[quota.1000] connections", "5"},
    {"[quota.1000] subtrees", "5"},
    {"[quota.1000] subtree-bytes", R"("2M")"},
    {"[quota.1000] services", "5"},
    {"[quota.1000] arena-bytes", R"("2M")"},
    {"[grant.web] owner", "1\nuids = [2]"},
    {"[grant.web] uids", "[2]\nowner = 1"},
    {"[grant.web] gids", "[2]\nowner = 1"},
    {"[worker] confine", "false"},
    {"[machine] kind", "'process'"},
    {"[machine] fd-store", R"("off")"},
    {"[update] ready-timeout-ms", "5"},
    {"[update] prepare-timeout-ms", "5"},
    {"[update] freeze-timeout-ms", "5"},
    {"[update] adopt-timeout-ms", "5"},
    {"[update] finish-timeout-ms", "5"},
    {"[update] retire-timeout-ms", "5"},
    {"[update] attempts", "5"},
    {"[takeover] rehearsal-timeout-ms", "5"},
    {"[takeover] stop-timeout-ms", "5"},
    {"[takeover] ready-timeout-ms", "5"},
    {"[takeover] probation-ms", "5"},
    {"[takeover] tries", "5"},
    {"[metrics] listen", R"("127.0.0.1:9464")"},
    {"[fleet] report", R"("http://10.0.0.1:8080/x")"},
    {"[fleet] report-timeout-ms", "5"},
    {"[fleet] try-timeout-ms", "5"},
};

// "[section] key" of each line of the sample that has one, services' apart.
std::vector<std::string> keys_of_the_sample() {
  std::ifstream file(std::string(OUTLIVE_SOURCE_DIR) + "/packaging/outlive.toml");
  EXPECT_TRUE(file);
  static const std::regex kSection(R"((?:# )?(\[[a-z]+(?:\.[a-z0-9]+)?\]))");
  static const std::regex kKey(R"(# ([a-z-]+) = .*)");
  std::vector<std::string> keys;
  std::string section;
  std::smatch match;
  for (std::string line; std::getline(file, line);) {
    if (std::regex_match(line, match, kSection)) section = match[1];
    const bool service = section.starts_with("[services.");
    if (!service && std::regex_match(line, match, kKey))
      keys.push_back(section + " " + match.str(1));
  }
  return keys;
}

TEST(ConfigChange, NoKeyIsForgotten) {
  const std::vector<std::string> keys = keys_of_the_sample();
  EXPECT_GE(keys.size(), kOthers.size());
  for (const std::string& key : keys) {
    const auto other = kOthers.find(key);
    ASSERT_NE(other, kOthers.end()) << key << " is new: what does a reload do with it?";
    const std::string section = key.substr(0, key.find(' '));
    const std::string name = key.substr(key.find(' ') + 1);
    const ConfigChange one = change("", fmt::format("{}\n{} = {}\n", section, name, other->second));
    Lines told = one.applied;
    told.insert(told.end(), one.refused.begin(), one.refused.end());
    EXPECT_EQ(std::ranges::count_if(told, [&](const std::string& l) { return l.starts_with(key); }),
              1)
        << key << ": " << fmt::format("{}", fmt::join(told, "; "));
  }
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
