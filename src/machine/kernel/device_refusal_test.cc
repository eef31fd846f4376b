#include "machine/kernel/device_refusal.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/sys.h"

namespace outlive::machine {
namespace {

TEST(DeviceRefusal, WhoHasAFileOpen) {
  char path[] = "/tmp/outlive-device-XXXXXX";
  UniqueFd file(::mkostemp(path, O_CLOEXEC));
  ASSERT_TRUE(file.valid());
  EXPECT_TRUE(who_has_open(path).starts_with(fmt::format("pid {} (", ::getpid())))
      << who_has_open(path);
  EXPECT_NE(device_refusal(fail(EBUSY, "open"), {}, path).find(fmt::format("pid {} (", ::getpid())),
            std::string::npos);
  file.reset();
  EXPECT_EQ(who_has_open(path), "");
  ::unlink(path);
  EXPECT_EQ(who_has_open(path), "");
}

TEST(DeviceRefusal, EachErrnoIsToldApart) {
  const std::vector<std::string> log{"luo: one", "KHO: two"};
  EXPECT_EQ(device_refusal(fail(ENOENT, "open"), {}, "/dev/x"),
            "/dev/x: this kernel has no live update, or it is off (liveupdate=on), or it failed "
            "early (ENOENT)");
  EXPECT_EQ(device_refusal(fail(EIO, "open"), log, "/dev/x"),
            "/dev/x: the kernel could not read what the one before left (EIO); the kernel's log: "
            "luo: one | KHO: two");
  EXPECT_EQ(device_refusal(fail(EBUSY, "open"), {}, "/dev/x"),
            "/dev/x: another program has it open (EBUSY)");
  EXPECT_EQ(device_refusal(fail(EACCES, "open"), log, "/dev/x"), "/dev/x: not permitted (EACCES)");
}

TEST(DeviceRefusal, NoDeviceBecauseTheIncomingStateIsBad) {
  const std::vector<std::string> log{
      "luo: Retrieved live update data, liveupdate number: 3",
      "luo: The incoming tree failed to initialize properly [-EINVAL], disabling live update"};
  EXPECT_TRUE(gave_up_early(fail(ENOENT, "open"), log));
  EXPECT_FALSE(gave_up_early(fail(ENOENT, "open"), {log[0]}));
  EXPECT_FALSE(gave_up_early(fail(EBUSY, "open"), log)) << "the device is there";
  EXPECT_EQ(device_refusal(fail(ENOENT, "open"), log, "/dev/x"),
            "/dev/x: the kernel could not take over what the one before left, and switched live "
            "update off (ENOENT); the kernel's log: " +
                log[0] + " | " + log[1]);
  EXPECT_EQ(handed_on(log), log[0]);
  EXPECT_EQ(handed_on({"luo: something else"}), "");
}

TEST(DeviceRefusal, LinesOfTheKernelsLog) {
  const auto lines = liveupdate_lines(
      "6,1,0,-;Linux version 7.3.4\n"
      "6,2,0,-;KHO: found kexec handover data.\n"
      "3,3,70909,-;luo: Retrieved live update data, liveupdate number: 1\n"
      " SUBSYSTEM=luo: of the line before\n"
      "6,4,9,-;lucky: luo: is somebody else\n"
      "6,5,9,-;luo is no prefix\n"
      "4,6,9,-;liveupdate: it is bad");
  EXPECT_EQ(lines, (std::vector<std::string>{"KHO: found kexec handover data.",
                                             "luo: Retrieved live update data, liveupdate number: "
                                             "1",
                                             "liveupdate: it is bad"}));
  std::string many;
  for (int i = 0; i < 20; ++i) many += fmt::format("6,{},0,-;luo: line {}\n", i, i);
  const auto last = liveupdate_lines(many);
  ASSERT_EQ(last.size(), 6u);
  EXPECT_EQ(last.back(), "luo: line 19");
  EXPECT_TRUE(liveupdate_lines("").empty());
}

}  // namespace
}  // namespace outlive::machine
