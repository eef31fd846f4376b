#include "daemon/machine_choice.h"

#include <gtest/gtest.h>

namespace outlive::daemon {
namespace {

const AwaitedState kNone;
const std::vector<std::string> kGaveUp{
    "luo: Retrieved live update data, liveupdate number: 3",
    "luo: The incoming tree failed to initialize properly [-EINVAL], disabling live update"};

AwaitedState due() {
  const BootFacts boot{"outlive.kexec=1:/run/outlive", "boot-1", 2, false};
  return AwaitedState::look(boot, "/run/outlive", "/tmp/outlive-no-such-folder");
}

std::string refused(const std::string& kind, const AwaitedState& awaited, int code,
                    const std::vector<std::string>& log = {}) {
  const auto choice = MachineChoice::without(kind, awaited, fail(code, "open"), log);
  EXPECT_FALSE(choice.device.valid());
  EXPECT_TRUE(choice.text.starts_with("process: /dev/liveupdate: ")) << choice.text;
  EXPECT_TRUE(choice.refused.empty() || choice.text == "process: " + choice.refused);
  return choice.refused;
}

TEST(MachineChoice, AutoGoesOnWithoutTheDevice) {
  for (const int code : {ENOENT, ENODEV, EBUSY, EACCES, EPERM}) {
    EXPECT_EQ(refused("auto", kNone, code), "") << code;
    EXPECT_NE(refused("kernel", kNone, code), "") << code;
  }
  EXPECT_EQ(refused("auto", kNone, ENOENT, {"luo: something else"}), "");
}

TEST(MachineChoice, ButNotOverWhatTheKernelHasLost) {
  EXPECT_EQ(refused("auto", kNone, EIO, {"luo: bad"}),
            "/dev/liveupdate: the kernel could not read what the one before left (EIO); the "
            "kernel's log: luo: bad");
  EXPECT_EQ(refused("auto", kNone, ENOENT, kGaveUp),
            "/dev/liveupdate: the kernel could not take over what the one before left, and "
            "switched live update off (ENOENT); the kernel's log: " +
                kGaveUp[0] + " | " + kGaveUp[1]);
}

TEST(MachineChoice, NorOverWhatWasHandedOn) {
  ASSERT_TRUE(due().is_due());
  for (const int code : {ENOENT, EBUSY, EACCES}) {
    const std::string why = refused("auto", due(), code);
    EXPECT_TRUE(why.ends_with("; " + due().text())) << why;
  }
}

TEST(MachineChoice, ProcessIsAnOperatorsWord) {
  auto control = machine::Control::create();
  ASSERT_TRUE(control);
  const auto choice = MachineChoice::make("process", due(), *control);
  EXPECT_EQ(choice.refused, "");
  EXPECT_EQ(choice.text, "process: [machine] kind");
}

}  // namespace
}  // namespace outlive::daemon
