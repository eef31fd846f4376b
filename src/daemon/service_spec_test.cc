#include "daemon/service_spec.h"

#include <gtest/gtest.h>

namespace outlive::daemon {
namespace {

ServiceSpec good() {
  ServiceSpec spec;
  spec.argv = {"/bin/web", "a b", "\"q\""};
  spec.env = {"A=1", "B="};
  spec.listen = {"http=127.0.0.1:80"};
  spec.restart = "always";
  spec.notify = true;
  spec.ready_timeout_ms = 5;
  return spec;
}

TEST(ServiceSpec, GoesThroughTheRecordUnchanged) {
  const ServiceSpec spec = good();
  ASSERT_TRUE(check_spec(spec));
  const auto back = parse_spec(spec_text(spec));
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(back->argv, spec.argv);
  EXPECT_EQ(back->env, spec.env);
  EXPECT_EQ(back->listen, spec.listen);
  EXPECT_EQ(back->restart, "always");
  EXPECT_TRUE(back->notify);
  EXPECT_EQ(back->ready_timeout_ms, 5u);
  EXPECT_EQ(back->stop_timeout_ms, 10'000u);
}

TEST(ServiceSpec, BadOnesAreRefused) {
  const auto refused = [](auto change) {
    ServiceSpec spec = good();
    change(spec);
    const Status checked = check_spec(spec);
    return !checked && checked.error().code == EINVAL;
  };
  EXPECT_TRUE(refused([](ServiceSpec& s) { s.argv.clear(); }));
  EXPECT_TRUE(refused([](ServiceSpec& s) { s.argv[0] = ""; }));
  EXPECT_TRUE(refused([](ServiceSpec& s) { s.restart = "sometimes"; }));
  EXPECT_TRUE(refused([](ServiceSpec& s) { s.policy = "hope"; }));
  EXPECT_TRUE(refused([](ServiceSpec& s) { s.env = {"novalue"}; }));
  EXPECT_TRUE(refused([](ServiceSpec& s) { s.env = {"=x"}; }));
  EXPECT_TRUE(refused([](ServiceSpec& s) { s.cwd = "relative"; }));
  EXPECT_TRUE(refused([](ServiceSpec& s) { s.listen = {"nowhere"}; }));
}

TEST(ServiceSpec, ADamagedRecordIsAnError) {
  EXPECT_FALSE(parse_spec("{"));
  EXPECT_FALSE(parse_spec("{}"));
  EXPECT_FALSE(parse_spec("[]"));
}

}  // namespace
}  // namespace outlive::daemon
