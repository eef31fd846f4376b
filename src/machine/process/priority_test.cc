#include "machine/process/priority.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <atomic>

#include "machine/process/closer.h"
#include "machine/process/test_machine.h"

namespace outlive::machine {
namespace {

int nice_of(pid_t pid) {
  return ::getpriority(PRIO_PROCESS, static_cast<id_t>(pid));
}

bool allowed(int nice) {
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(::setpriority(PRIO_PROCESS, 0, nice) == 0 ? 0 : 1);
  int status = 0;
  return ::waitpid(pid, &status, 0) == pid && status == 0;
}

TEST(Priority, TheWorkerGoesFirstAndNobodyElse) {
  const SharedMemory<std::atomic<pid_t>> closer_pid;
  TestMachine machine;
  KeeperOptions options;
  options.worker_main = [&](WorkerContext& context) {
    Closer closer(context.control);
    closer.close(BorrowedFd(::dup(2)));
    return machine.serve(context, [&] {
      closer.tick(system_clock().now_ns());
      *closer_pid = closer.pending() == 0 ? closer.pid() : 0;
    });
  };
  machine.start(std::move(options));
  ASSERT_TRUE(machine.await_complete());
  ASSERT_TRUE(eventually([&] { return *closer_pid > 0; }));
  const int ours = nice_of(::getpid());
  const int first = std::max(ours - kAheadNice, -20);
  EXPECT_EQ(nice_of(machine.worker_pid()), allowed(first) ? first : ours);
  EXPECT_EQ(nice_of(*closer_pid), ours);
  EXPECT_EQ(nice_of(machine.spare_pid()), ours);
  EXPECT_EQ(nice_of(machine.control().keeper_pid()), ours);
}

}  // namespace
}  // namespace outlive::machine
