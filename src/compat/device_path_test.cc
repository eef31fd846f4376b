#include "compat/device_path.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/sys.h"

namespace outlive::compat {
namespace {

bool names(const std::string& path, int directory = AT_FDCWD) {
  return names_device(Caller(gettid()), directory, path);
}

TEST(DevicePath, ManyWaysToSayIt) {
  EXPECT_TRUE(names("/dev/liveupdate"));
  EXPECT_TRUE(names("/dev//liveupdate"));
  EXPECT_TRUE(names("//dev/./liveupdate"));
  EXPECT_TRUE(names("/dev/../dev/liveupdate"));
  EXPECT_TRUE(names("/proc/self/root/dev/liveupdate"));
}

TEST(DevicePath, RelativeToAFolder) {
  const UniqueFd dev = sys::open("/dev", O_RDONLY | O_DIRECTORY).take();
  const UniqueFd root = sys::open("/", O_RDONLY | O_DIRECTORY).take();
  EXPECT_TRUE(names("liveupdate", dev.get()));
  EXPECT_TRUE(names("dev/liveupdate", root.get()));
  EXPECT_FALSE(names("liveupdate", root.get()));
  EXPECT_TRUE(names("/dev/liveupdate", root.get()));
  EXPECT_FALSE(names("liveupdate", -1));
}

TEST(DevicePath, OthersAreNot) {
  EXPECT_FALSE(names("/dev/null"));
  EXPECT_FALSE(names("/dev/liveupdate2"));
  EXPECT_FALSE(names("/dev/xliveupdate"));
  EXPECT_FALSE(names("/dev/liveupdate/"));
  EXPECT_FALSE(names("/tmp/liveupdate"));
  EXPECT_FALSE(names("/nowhere/liveupdate"));
  EXPECT_FALSE(names("liveupdate")) << "here";
}

}  // namespace
}  // namespace outlive::compat
