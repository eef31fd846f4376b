#include "daemon/config.h"

#include <gtest/gtest.h>
#include <unistd.h>

namespace outlive::daemon {
namespace {

std::string problem(std::string_view text) {
  const Result<Config> config = parse_config(text, "f.toml");
  return config ? "" : config.error().message;
}

TEST(Config, WhatBecomesOfBadInheritance) {
  EXPECT_EQ(problem("[liveupdate]\non-incoming-failure = 'fresh'\n"), "");
  EXPECT_NE(problem("[liveupdate]\non-incoming-failure = 'drop'\n").find("hold, fresh or reboot"),
            std::string::npos);
  EXPECT_NE(problem("[liveupdate]\non-incoming-failure = 'reboot'\n").find("reboot-command"),
            std::string::npos);
  const auto config = parse_config(
      "[liveupdate]\non-incoming-failure = 'reboot'\nreboot-command = ['/sbin/reboot', '-f']\n",
      "f.toml");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->reboot_command, (std::vector<std::string>{"/sbin/reboot", "-f"}));
}

TEST(Config, WhatBecomesOfAFinishThatFails) {
  EXPECT_EQ(parse_config("", "f.toml")->on_finish_failure, "hold");
  EXPECT_NE(problem("[liveupdate]\non-finish-failure = 'fresh'\n").find("hold or reboot"),
            std::string::npos);
  EXPECT_NE(problem("[liveupdate]\non-finish-failure = 'reboot'\n").find("reboot-command"),
            std::string::npos);
  EXPECT_EQ(problem("[liveupdate]\non-finish-failure = 'reboot'\nreboot-command = ['x']\n"), "");
}

TEST(Config, KindOfMachine) {
  EXPECT_EQ(parse_config("", "f.toml")->machine, "auto");
  EXPECT_EQ(parse_config("[machine]\nkind = 'kernel'\n", "f.toml")->machine, "kernel");
  EXPECT_NE(problem("[machine]\nkind = 'virtual'\n").find("auto, process or kernel"),
            std::string::npos);
}

TEST(Config, WhereARefusalIsReported) {
  EXPECT_EQ(parse_config("", "f.toml")->fleet_report, "");
  const auto config = parse_config(
      "[fleet]\nreport = 'http://[::1]:8080/x'\nreport-timeout-ms = 7\ntry-timeout-ms = 5\n",
      "f.toml");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->fleet_report, "http://[::1]:8080/x");
  EXPECT_EQ(config->fleet_timeout_ns, 7'000'000u);
  EXPECT_EQ(config->fleet_try_ns, 5'000'000u);
  EXPECT_NE(problem("[fleet]\nreport = 'https://10.0.0.1/'\n").find("http://HOST"),
            std::string::npos);
}

TEST(Config, Leases) {
  const auto config = parse_config(
      "[liveupdate]\nlease-ms = 5\n[services.a]\ncommand = ['/a']\nlease-ms = 0\n"
      "[services.b]\ncommand = ['/b']\n",
      "f.toml");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->lease_ns, 5'000'000u);
  EXPECT_EQ(config->services[0].spec.lease_ms, std::optional<uint64_t>(0));
  EXPECT_EQ(config->services[1].spec.lease_ms, std::nullopt);
}

TEST(Config, AnEmptyFileIsTheDefaults) {
  const auto config = parse_config("", "f.toml");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_TRUE(config->kho_enabled);
  EXPECT_TRUE(config->liveupdate_enabled);
  EXPECT_EQ(config->arena_max, uint64_t{1} << 30);
  EXPECT_EQ(config->on_incoming_failure, "hold");
  EXPECT_EQ(config->times.attempts, 3u);
}

TEST(Config, EveryValueArrives) {
  const auto config = parse_config(R"(
[outlived]
runtime-dir = "/r"
log-level = "debug"
[kho]
arena-max = "64M"
reserve-mem = ["log 1M 4K"]
[limits]
sessions-per-uid = 7
worker-share-per-uid = 25
[quota.1000]
files = 20000
subtree-bytes = "2M"
[update]
freeze-timeout-ms = 250
[services.web]
command = ["/bin/web", "-x"]
listen = ["http=tcp:127.0.0.1:8080"]
restart = "always"
)",
                                   "f.toml");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->runtime_dir, "/r");
  EXPECT_EQ(config->log_level, LogLevel::kDebug);
  EXPECT_EQ(config->arena_max, uint64_t{64} << 20);
  ASSERT_EQ(config->regions.size(), 1u);
  EXPECT_EQ(config->regions[0].name, "log");
  EXPECT_EQ(config->regions[0].size, uint64_t{1} << 20);
  EXPECT_EQ(config->regions[0].align, 4096u);
  EXPECT_EQ(config->limits.sessions, 7u);
  EXPECT_EQ(config->limits_of(1000).files, 20'000u);
  EXPECT_EQ(config->limits_of(1000).subtree_bytes, uint64_t{2} << 20);
  EXPECT_EQ(config->limits_of(1000).sessions, 7u) << "as in [limits]";
  EXPECT_EQ(config->limits_of(1001).files, config->limits.files);
  EXPECT_EQ(config->worker_share, 25u);
  EXPECT_NE(problem("[limits]\nworker-share-per-uid = 0\n"), "");
  for (const char* text : {"[;a]\n", "[a.;b]\n", "a.;b = 1\n", "[[;a]]\n", "a = { ;b = 1 }\n", "[",
                           "a.", "a = [ 1 } \u0424\n", "a = 1 \u00a1\n"}) {
    EXPECT_NE(problem(text), "") << text;
  }
  EXPECT_NE(problem("[quota.web]\nfiles = 1\n"), "");
  EXPECT_NE(problem("[quota.1000]\nfile = 1\n"), "");
  EXPECT_EQ(config->times.freeze, 250'000'000u);
  ASSERT_EQ(config->services.size(), 1u);
  EXPECT_EQ(config->services[0].name, "web");
  EXPECT_EQ(config->services[0].spec.argv[1], "-x");
  EXPECT_EQ(config->services[0].spec.restart, "always");
}

TEST(Config, OperatorsMayHaveAllOfTheArenaUnlessTheirQuotaSaysOtherwise) {
  constexpr uint64_t kOther = 54321;
  const uint64_t own = geteuid();
  ASSERT_NE(own, kOther);
  const auto config = [](std::string_view text) { return parse_config(text, "f.toml").take(); };
  const Config plain = config("");
  EXPECT_EQ(plain.limits_of(kOther).arena_bytes, 0u) << "a sixteenth";
  for (const uint64_t uid : {uint64_t{0}, own}) {
    EXPECT_EQ(plain.limits_of(uid).arena_bytes, luo::kNoLimit);
    EXPECT_EQ(plain.limits_by_uid().at(uid).arena_bytes, luo::kNoLimit);
    EXPECT_EQ(plain.limits_by_uid().at(uid).files, plain.limits.files);
    const Config few = config(fmt::format("[quota.{}]\nfiles = 5\n", uid));
    EXPECT_EQ(few.limits_by_uid().at(uid).files, 5u);
    EXPECT_EQ(few.limits_by_uid().at(uid).arena_bytes, luo::kNoLimit);
    const Config set = config(fmt::format("[quota.{}]\narena-bytes = \"1M\"\n", uid));
    EXPECT_EQ(set.limits_by_uid().at(uid).arena_bytes, uint64_t{1} << 20);
  }
  const Config all = config(
      "[limits]\narena-bytes-per-uid = \"2M\"\n[quota.54321]\nfiles = 5\n[quota.54322]\n"
      "arena-bytes = 4096\n");
  EXPECT_EQ(all.limits_of(kOther).arena_bytes, uint64_t{2} << 20);
  EXPECT_EQ(all.limits_of(54322).arena_bytes, 4096u);
  EXPECT_EQ(all.limits_of(0).arena_bytes, luo::kNoLimit);
}

TEST(Config, ControlConnectionsLeaveSomeToOperators) {
  EXPECT_EQ(problem("[limits]\ncontrol-connections = 8\ncontrol-connections-per-uid = 0\n"), "");
  EXPECT_NE(
      problem("[limits]\ncontrol-connections = 7\n").find("control-connections = 7 is below 8"),
      std::string::npos);
}

TEST(Config, AnErrorNamesFileLineAndKey) {
  EXPECT_EQ(problem("[kho]\nenabeld = true\n"), "f.toml:2: [kho] enabeld: unknown key");
  EXPECT_EQ(problem("[kho]\n\nenabled = 1\n"),
            "f.toml:3: [kho] enabled: true or false is expected");
  EXPECT_NE(problem("[kho]\narena-max = \"much\"\n").find("f.toml:2: [kho] arena-max"),
            std::string::npos);
  EXPECT_NE(problem("[services.w]\ncommand = []\n").find("the command is empty"),
            std::string::npos);
  EXPECT_NE(problem("[kho\n").find("f.toml:1"), std::string::npos);
  EXPECT_NE(problem("[update]\nattempts = 101\n").find("not between 0 and 100"), std::string::npos);
  EXPECT_NE(problem("nonsense = 1\n").find("f.toml:1: nonsense: unknown key"), std::string::npos);
}

TEST(Config, Grants) {
  const auto config = parse_config(
      "[grant.web]\nowner = 1\nuids = [2, 3]\n"
      "[grant.\"cache-*\"]\nowner = 0\ngids = [50]\n",
      "f.toml");
  ASSERT_TRUE(config) << config.error().message;
  ASSERT_EQ(config->grants.size(), 2u);
  EXPECT_EQ(config->grants[0].name, "cache-");
  EXPECT_TRUE(config->grants[0].is_prefix);
  EXPECT_EQ(config->grants[0].owner, 0u);
  EXPECT_EQ(config->grants[0].gids, std::vector<uint64_t>{50});
  EXPECT_EQ(config->grants[1].name, "web");
  EXPECT_FALSE(config->grants[1].is_prefix);
  EXPECT_EQ(config->grants[1].uids, (std::vector<uint64_t>{2, 3}));
  EXPECT_EQ(problem("[grant.w]\nuids = [2]\n"),
            "f.toml:1: [grant.w] owner: is missing: the user id whose sessions these are");
  EXPECT_NE(problem("[grant.w]\nowner = 1\n").find("granted to nobody"), std::string::npos);
  EXPECT_NE(problem("[grant.\"@*\"]\nowner = 1\nuids = [2]\n").find("outlived's own"),
            std::string::npos);
  for (const char* bad : {"uids = 2", "uids = [-1]", "uids = [4294967295]", "gids = [\"adm\"]",
                          "uids = [2]\nuid = 3"}) {
    EXPECT_NE(problem(fmt::format("[grant.w]\nowner = 1\n{}\n", bad)), "") << bad;
  }
}

TEST(Config, KhoOffWithLiveupdateOnNamesBothKeys) {
  const std::string text = problem("[kho]\nenabled = false\n");
  EXPECT_NE(text.find("[kho] enabled"), std::string::npos) << text;
  EXPECT_NE(text.find("[liveupdate] enabled"), std::string::npos) << text;
  EXPECT_EQ(problem("[kho]\nenabled = false\n[liveupdate]\nenabled = false\n"), "");
}

TEST(Config, Sizes) {
  EXPECT_EQ(*parse_size("4096"), 4096u);
  EXPECT_EQ(*parse_size("2G"), uint64_t{2} << 30);
  for (const char* bad : {"", "M", "1X", "1MM", "-1", "99999999T", "1 M"}) {
    EXPECT_FALSE(parse_size(bad)) << bad;
  }
}

}  // namespace
}  // namespace outlive::daemon
