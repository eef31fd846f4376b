#include "machine/process/killed.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/sys.h"
#include "machine/process/test_machine.h"

namespace outlive::machine {
namespace {

struct Child {
  template <typename Do>
  explicit Child(Do what) : pid(::fork()) {
    if (pid == 0) {
      what();
      ::_exit(0);
    }
    pidfd = sys::pidfd_open(pid).take();
  }
  ~Child() {
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
  }
  const pid_t pid;
  UniqueFd pidfd;
};

TEST(Killed, OneThatRunsMayDoAnything) {
  const Child child([] {
    volatile bool go = true;
    while (go) {
    }
  });
  for (int i = 0; i < 100; ++i) ASSERT_FALSE(is_past_harm(child.pidfd));
}

// Also one that SIGKILL would wake, and stop from going on.
TEST(Killed, OneThatSleepsForASignalMayWake) {
  const Child child([] { ::pause(); });
  for (int i = 0; i < 100; ++i) ASSERT_FALSE(is_past_harm(child.pidfd));
}

TEST(Killed, OneThatIsDeadIsPastIt) {
  const Child child([] {});
  EXPECT_TRUE(eventually([&] { return is_past_harm(child.pidfd); }));
  ASSERT_EQ(::waitpid(child.pid, nullptr, 0), child.pid);
  EXPECT_TRUE(is_past_harm(child.pidfd)) << "waited for";
}

TEST(Killed, OneThatSleepsInTheKernelIsPastIt) {
  sys::Pipe ends = sys::pipe().take();
  const Child child([&] {
    ends.write = UniqueFd();
    if (::vfork() == 0) {  // its parent sleeps until it has ended
      char byte;
      [[maybe_unused]] const ssize_t got = ::read(ends.read.get(), &byte, 1);
      ::_exit(0);
    }
  });
  EXPECT_TRUE(eventually([&] { return is_past_harm(child.pidfd); }));
  ends.write = UniqueFd();
}

}  // namespace
}  // namespace outlive::machine
