// The text of the metrics, its counters, and the addresses that it may be served at.
#include "daemon/metrics.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/sys.h"
#include "daemon/config.h"
#include "daemon/exposition.h"
#include "daemon/metrics_address.h"
#include "daemon/totals.h"

namespace outlive::daemon {
namespace {

TEST(Exposition, EscapesWhatWouldBreakALine) {
  Exposition out;
  out.family("a_total", "counter", "One \\ and\nanother \"line\".");
  out.sample({{"name", "x\"\\\ny"}, {"other", ""}}, 3);
  out.sample(4);
  EXPECT_EQ(out.take(),
            "# HELP a_total One \\\\ and\\nanother \"line\".\n# TYPE a_total counter\n"
            "a_total{name=\"x\\\"\\\\\\ny\",other=\"\"} 3\na_total 4\n");
}

TEST(Exposition, BucketsAreCumulativeAndInSeconds) {
  abi::HistogramWords words{};
  count_time(words, 50'000);         // just in the first
  count_time(words, 50'001);         // just not
  count_time(words, 2'000'000);      // 2 ms
  count_time(words, 9'000'000'000);  // above all bounds
  Exposition out;
  out.family("h", "histogram", "H.");
  out.histogram(words);
  const std::string text = out.take();
  for (const char* line :
       {"h_bucket{le=\"0.00005\"} 1\n", "h_bucket{le=\"0.0001\"} 2\n", "h_bucket{le=\"0.001\"} 2\n",
        "h_bucket{le=\"0.0025\"} 3\n", "h_bucket{le=\"1\"} 3\n", "h_bucket{le=\"+Inf\"} 4\n",
        "h_sum 9.002100001\n", "h_count 4\n"}) {
    EXPECT_NE(text.find(line), std::string::npos) << line << text;
  }
}

TEST(Totals, EveryKindOfAnswerIsCountedByItself) {
  abi::MetricTotals totals{};
  for (uint16_t request = 1; request <= 200; ++request) {
    for (int i = 0; i < request; ++i) count_request(totals, request, EBUSY);
  }
  uint64_t seen = 0;
  for (const abi::RequestCount& one : totals.requests) {
    if (one.key == 0) continue;
    ++seen;
    EXPECT_EQ(one.key & 0xffff, static_cast<uint64_t>(EBUSY));
    EXPECT_EQ(one.key >> 16 & 0xffff, one.count);
  }
  EXPECT_EQ(seen, 200u);
}

// A client chooses the numbers: a full table counts on, and doesn't search for ever.
TEST(Totals, AFullTableCountsTheRestTogether) {
  abi::MetricTotals totals{};
  count_request(totals, 0, 0);
  for (uint16_t request = 1; request <= 1000; ++request) count_request(totals, request, 0);
  uint64_t all = 0;
  for (const abi::RequestCount& one : totals.requests) all += one.count;
  EXPECT_EQ(all, 1001u);
}

TEST(Totals, UpdatesByTheirEnd) {
  abi::MetricTotals totals{};
  abi::UpdateSlot update{};
  update.step = static_cast<uint64_t>(abi::UpdateStep::kCancelled);
  update.result = ETIMEDOUT;
  count_update(totals, update);
  update.step = static_cast<uint64_t>(abi::UpdateStep::kFinish);
  update.blackout_ns = 300'000;
  count_update(totals, update);
  EXPECT_EQ(totals.updates_cancelled[static_cast<size_t>(abi::CancelReason::kDeadline)], 1u);
  EXPECT_EQ(totals.updates_committed, 1u);
  EXPECT_EQ(totals.blackout.sum_ns, 300'000u);
  EXPECT_EQ(totals.blackout.buckets[3], 1u);  // up to 500 us
}

TEST(Metrics, AHeldMachineSaysSo) {
  const machine::Control control = machine::Control::create().take();
  control.block().worker_deaths = 11;
  const std::string text = control_metrics(control, true);
  EXPECT_NE(text.find("\noutlive_hold 1\n"), std::string::npos);
  EXPECT_NE(text.find("\noutlive_worker_deaths_total 11\n"), std::string::npos);
}

TEST(MetricsAddress, OnlyLoopbackAndUnix) {
  for (const char* good :
       {"127.0.0.1:9464", "127.8.9.1:1", "[::1]:9464", "localhost:9464", "unix:/run/m.sock"}) {
    EXPECT_TRUE(parse_metrics_address(good)) << good;
  }
  for (const char* bad : {"0.0.0.0:9464", ":9464", "10.0.0.1:9464", "[::]:9464", "[fe80::1]:9464",
                          "[::ffff:127.0.0.1]:1", "udp:127.0.0.1:9464", "unix:m.sock", "unix:@m",
                          "example.org:80", "9464", ""}) {
    EXPECT_FALSE(parse_metrics_address(bad)) << bad;
  }
  const auto config = parse_config("\n[metrics]\nlisten = \"0.0.0.0:9464\"\n", "f.toml");
  ASSERT_FALSE(config);
  EXPECT_EQ(config.error().message,
            "f.toml:3: [metrics] listen: '0.0.0.0:9464' is neither unix:/PATH nor a loopback "
            "address (127.0.0.1, [::1])");
}

TEST(MetricsAddress, ASocketThatNobodyServesIsReplaced) {
  const std::string path = testing::TempDir() + fmt::format("metrics-{}.sock", ::getpid());
  const auto address = parse_metrics_address("unix:" + path);
  ASSERT_TRUE(address);
  UniqueFd first = bind_metrics(*address).take();
  EXPECT_TRUE(is_bound_to(first, *address));
  const Result<UniqueFd> second = bind_metrics(*address);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, EADDRINUSE) << "somebody serves it";
  first.reset();
  const Result<UniqueFd> third = bind_metrics(*address);
  ASSERT_TRUE(third) << third.error().message;
  unlink_bound(*third);
  EXPECT_NE(::access(path.c_str(), F_OK), 0);
}

}  // namespace
}  // namespace outlive::daemon
