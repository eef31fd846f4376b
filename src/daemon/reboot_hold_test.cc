#include "daemon/reboot_hold.h"

#include <gtest/gtest.h>

#include "base/clock.h"
#include "base/sys.h"
#include "daemon/hand_over.h"

namespace outlive::daemon {
namespace {

constexpr uint64_t kLong = 60'000'000'000;
constexpr uint64_t kShort = 50'000'000;

class RebootHold : public testing::Test {
 protected:
  void begin(uint64_t ns) { begin_reboot_hold(control_, caller_.second, now() + ns); }
  static uint64_t now() { return system_clock().now_ns(); }
  // How long a worker waits.
  uint64_t waits() {
    const uint64_t begun = now();
    await_reboot(control_);
    EXPECT_EQ(control_.block().reboot_until_ns, 0u) << "the one after it doesn't";
    return now() - begun;
  }
  bool is_alive() const { return control_.block().heartbeat_ns != 0; }

  machine::Control control_ = *machine::Control::create();
  sys::SocketPair caller_ = sys::socketpair(SOCK_STREAM).take();
};

TEST_F(RebootHold, NobodyWaitsWithoutOne) {
  ASSERT_TRUE(sys::send(caller_.first, std::as_bytes(std::span("x")), 0));
  EXPECT_LT(waits(), kLong / 2);
  EXPECT_FALSE(is_alive()) << "it wasn't a wait at all";
  begin(kLong);
  end_reboot_hold(control_);
  caller_.first.reset();
  EXPECT_LT(waits(), kLong / 2);
  EXPECT_FALSE(is_alive());
}

TEST_F(RebootHold, EndsWithItsTime) {
  begin(kShort);
  const uint64_t until = control_.block().reboot_until_ns;
  waits();
  EXPECT_GE(now(), until);
  EXPECT_TRUE(is_alive()) << "its keeper must not take it for hung";
}

TEST_F(RebootHold, IsOverBeforeAWorkerComes) {
  begin_reboot_hold(control_, caller_.second, now() - 1);
  EXPECT_LT(waits(), kLong / 2);
}

TEST_F(RebootHold, EndsWhenTheCallerSaysSomething) {
  begin(kLong);
  ASSERT_TRUE(sys::send(caller_.first, std::as_bytes(std::span("cancel")), 0));
  EXPECT_LT(waits(), kLong / 2);
  char bytes[8] = {};
  EXPECT_EQ(sys::recv(caller_.second, std::as_writable_bytes(std::span(bytes)), 0).take(), 7u)
      << "that is for the worker to read";
}

TEST_F(RebootHold, EndsWhenTheCallerIsGone) {
  begin(kLong);
  caller_.first.reset();
  EXPECT_LT(waits(), kLong / 2);
}

// As it is where a service manager replaces the kernel: the worker died between the two calls.
class HandedOver : public RebootHold {
 protected:
  HandedOver() {
    begin(kLong);
    control_.block().hand_over = static_cast<uint64_t>(abi::HandOverState::kBegun);
  }
  bool says(std::string_view text) {
    EXPECT_TRUE(sys::send(caller_.first, std::as_bytes(std::span(text)), 0));
    EXPECT_LT(waits(), kLong / 2);
    return HandOver::is_complete(control_);
  }
};

TEST_F(HandedOver, IsKnownBeforeAWorkerServes) {
  EXPECT_TRUE(says(R"({"parameters":{"action":"handed over"}})"));
}

TEST_F(HandedOver, IsNotWhereItIsCancelled) {
  EXPECT_FALSE(says(R"({"parameters":{"action":"cancel"}})"));
}

TEST_F(HandedOver, IsNotWhereTheCallerIsGone) {
  caller_.first.reset();
  EXPECT_LT(waits(), kLong / 2);
  EXPECT_FALSE(HandOver::is_complete(control_));
}

TEST_F(HandedOver, IsWhatAStopMeans) {
  control_.request_end();
  EXPECT_LT(waits(), kLong / 2);
  EXPECT_TRUE(HandOver::is_complete(control_)) << "nobody is to be thawed";
}

}  // namespace
}  // namespace outlive::daemon
