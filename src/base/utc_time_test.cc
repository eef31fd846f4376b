#include "base/utc_time.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sys.h"

namespace outlive {
namespace {

TEST(UtcTime, Text) {
  EXPECT_EQ(utc_text(0, 3), "1970-01-01T00:00:00.000Z");
  EXPECT_EQ(utc_text(1'000, 6), "1970-01-01T00:00:00.000001Z");
  EXPECT_EQ(utc_text(951'782'399'999'999'999, 6), "2000-02-28T23:59:59.999999Z");
  EXPECT_EQ(utc_text(951'782'400'000'000'000, 3), "2000-02-29T00:00:00.000Z");
  EXPECT_EQ(utc_text(1'795'682'664'040'067'000, 6), "2026-11-26T08:44:24.040067Z");
}

// The first line of a process: nobody opens the zone file for it.
TEST(UtcTime, ALineOfTheLogOpensNothing) {
  const std::string path = testing::TempDir() + "/zone." + std::to_string(::getpid());
  const UniqueFd zone = sys::open(path, O_WRONLY | O_CREAT | O_EXCL, 0600).take();
  const UniqueFd watch(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  ASSERT_GE(::inotify_add_watch(watch.get(), path.c_str(), IN_OPEN), 0);
  const auto opens = [&](bool by_gmtime) {
    const pid_t pid = ::fork();
    if (pid == 0) {
      ::setenv("TZ", (":" + path).c_str(), 1);
      log_notice("a line");
      const time_t now = 0;
      tm parts{};
      if (by_gmtime) ::gmtime_r(&now, &parts);
      ::_exit(0);
    }
    EXPECT_EQ(::waitpid(pid, nullptr, 0), pid);
    char events[4096];
    return ::read(watch.get(), events, sizeof events) > 0;
  };
  EXPECT_TRUE(opens(true)) << "the test would not see it";
  EXPECT_FALSE(opens(false));
  ::unlink(path.c_str());
}

}  // namespace
}  // namespace outlive
