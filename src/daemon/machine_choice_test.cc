#include "daemon/machine_choice.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "machine/kernel/liveupdate_device.h"

namespace outlive::daemon {
namespace {

TEST(MachineChoice, WithoutTheDevice) {
  if (::access(machine::kLiveupdateDevice, R_OK | W_OK) == 0) GTEST_SKIP() << "it is here";
  auto control = machine::Control::create();
  ASSERT_TRUE(control);
  const AwaitedState none;
  const BootFacts boot{"outlive.kexec=1:/run/outlive", "boot-1", 2, false};
  const auto due = AwaitedState::look(boot, "/run/outlive", "/tmp/outlive-no-such-folder");
  ASSERT_TRUE(due.is_due());

  const auto chosen = MachineChoice::make("auto", none, *control);
  EXPECT_EQ(chosen.refused, "");
  EXPECT_TRUE(chosen.text.starts_with("process: /dev/liveupdate: ")) << chosen.text;
  EXPECT_NE(MachineChoice::make("kernel", none, *control).refused, "");
  EXPECT_EQ(MachineChoice::make("process", due, *control).refused, "") << "an operator's word";

  const std::string refused = MachineChoice::make("auto", due, *control).refused;
  EXPECT_TRUE(refused.starts_with("/dev/liveupdate: ")) << refused;
  EXPECT_TRUE(refused.ends_with("; " + due.text())) << refused;
}

}  // namespace
}  // namespace outlive::daemon
