#include "daemon/setup.h"

#include <gtest/gtest.h>

#include "base/clock.h"
#include "base/sys.h"

namespace outlive::daemon {
namespace {

// Somebody sets the realtime between two binaries of one table: the times in the records are still
// those of the clock that they are compared with.
TEST(Setup, TheNextBinaryGoesOnWithTheSteadyClock) {
  const uint64_t before = steady_offset_ns();
  machine::Control control = *machine::Control::create();
  find_out_once(control);
  EXPECT_EQ(control.block().steady_offset_ns, before);

  const UniqueFd any = *sys::eventfd(0);
  abi::TakeoverBlock& takeover = control.block().takeover;
  for (int64_t* word :
       {&takeover.arena_fd, &takeover.device_fd, &takeover.control_fd, &takeover.lock_fd}) {
    *word = any.get();
  }
  constexpr uint64_t kHour = 3'600'000'000'000;
  control.block().steady_offset_ns =
      before - kHour;  // the next one sees the realtime an hour later
  ASSERT_TRUE(Setup::inherit(control));
  EXPECT_EQ(steady_offset_ns(), before - kHour);
  EXPECT_LT(system_clock().steady_ns(), system_clock().realtime_ns() - kHour / 2);

  control.block().steady_offset_ns = 0;  // of a binary that didn't say it
  ASSERT_TRUE(Setup::inherit(control));
  EXPECT_EQ(steady_offset_ns(), before - kHour) << "the own one";
  take_over_steady_offset(before);
}

}  // namespace
}  // namespace outlive::daemon
