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

// What sched(7) says of the session; nothing where autogroups are switched off.
std::optional<int> nice_of_session() {
  const Result<std::string> text = sys::read_file("/proc/self/autogroup");
  int nice = 0;
  if (!text || sscanf(text->c_str(), "/autogroup-%*u nice %d", &nice) != 1) return std::nullopt;
  return nice;
}

// In a process of its own: the nice value of the session that it is in then.
int nice_after_going_ahead(bool in_own_session) {
  const SharedMemory<std::atomic<int>> nice;
  const pid_t pid = ::fork();
  if (pid == 0) {
    if (in_own_session) ::setsid();
    let_session_go_ahead();
    *nice = nice_of_session().value_or(99);
    ::_exit(0);
  }
  EXPECT_EQ(::waitpid(pid, nullptr, 0), pid);
  return *nice;
}

TEST(Priority, ASessionOfItsOwnGoesFirstAndNobodyElses) {
  const std::optional<int> ours = nice_of_session();
  if (!ours) GTEST_SKIP() << "no autogroups";
  EXPECT_EQ(nice_after_going_ahead(false), *ours);
  EXPECT_EQ(nice_of_session(), ours);
  EXPECT_EQ(nice_after_going_ahead(true), allowed(-kAheadNice) ? -kAheadNice : 0);
  EXPECT_EQ(nice_of_session(), ours);
}

}  // namespace
}  // namespace outlive::machine
