// A killed closer that isn't dead yet may still close its number: nobody gets that number before.
//
// It is held there by ptrace: PTRACE_O_TRACEEXIT stops a process that was killed before it gives up
// anything of its own, so that its pidfd, /proc and its parent say it is there. No time decides.
#include <gtest/gtest.h>
#include <sys/ptrace.h>

#include "base/fault.h"
#include "machine/process/closer.h"
#include "machine/process/test_machine.h"

namespace outlive::machine {
namespace {

bool is_open(int number) {
  return static_cast<bool>(sys::get_fd_flags(BorrowedFd(number)));
}

// A process that can't get past its end as long as this is there.
class HeldAtItsEnd {
 public:
  explicit HeldAtItsEnd(pid_t pid)
      : pid_(pid), held_(::ptrace(PTRACE_SEIZE, pid, nullptr, PTRACE_O_TRACEEXIT) == 0) {}
  ~HeldAtItsEnd() { release(); }
  HeldAtItsEnd(const HeldAtItsEnd&) = delete;
  HeldAtItsEnd& operator=(const HeldAtItsEnd&) = delete;

  bool held() const { return held_; }
  // Returns when it was killed and has stopped.
  void await() const {
    int status = 0;
    ASSERT_EQ(::waitpid(pid_, &status, __WALL), pid_);
    ASSERT_EQ(status >> 8, SIGTRAP | (PTRACE_EVENT_EXIT << 8));
  }
  void release() {
    if (std::exchange(held_, false)) ::ptrace(PTRACE_DETACH, pid_, nullptr, nullptr);
  }

 private:
  const pid_t pid_;
  bool held_;
};

TEST(CloserDeath, TheNumberOfAKilledCloseIsNotGivenToTheNextOne) {
  set_log_level(LogLevel::kError);
  Control control = Control::create().take();
  ASSERT_TRUE(arm_faults("closer.close:1=hang"));
  Closer closer(control, 100'000'000);
  closer.in_use = [](BorrowedFd) { return false; };
  const int number = ::dup(2);
  closer.close(BorrowedFd(number));
  uint64_t now = system_clock().now_ns();
  closer.tick(now);
  const pid_t first = closer.pid();
  HeldAtItsEnd end(first);
  ASSERT_TRUE(arm_faults(""));  // of those that come after it
  if (!end.held()) GTEST_SKIP() << "ptrace(2) isn't allowed here";

  now += 200'000'000;
  closer.tick(now);  // it takes too long
  end.await();
  for (int i = 0; i < 10; ++i) {
    now += 10'000'000'000;
    closer.tick(now);
    ASSERT_EQ(closer.pid(), first) << "another one, while this one isn't dead";
    EXPECT_EQ(closer.pending(), 1u);
    EXPECT_TRUE(is_open(number));
  }
  end.release();
  EXPECT_TRUE(eventually([&] {
    closer.tick(now += 1'000'000);
    return closer.pending() == 0;
  }));
  EXPECT_NE(closer.pid(), first);
  EXPECT_FALSE(is_open(number));
}

// The same for the closer of a worker that is dead.
TEST(CloserDeath, TheNextWorkerWaitsForTheCloserOfTheOneBefore) {
  TestMachine machine;
  SharedMemory<std::atomic<pid_t>> closer_pid;
  ASSERT_TRUE(arm_faults("closer.close:1=hang"));
  KeeperOptions options;
  options.worker_main = [&](WorkerContext& context) {
    Closer closer(context.control);
    if (context.start_number == 1) {
      closer.close(BorrowedFd(::dup(2)));
      closer.tick(system_clock().now_ns());
      *closer_pid = closer.pid();
    }
    return machine.serve(context, {});
  };
  machine.start(options);
  ASSERT_TRUE(arm_faults(""));
  ASSERT_TRUE(machine.await_complete());
  HeldAtItsEnd end(*closer_pid);
  if (!end.held()) GTEST_SKIP() << "ptrace(2) isn't allowed here";

  const abi::ControlBlock& block = machine.control().block();
  signal_process(machine.worker_pid(), SIGKILL);
  end.await();
  ASSERT_TRUE(eventually([&] { return !process_runs(machine.control().worker_pid()); }));
  // The keeper turns, and starts nobody.
  uint64_t turns = 0, last = load_word(block.keeper_heartbeat_ns);
  ASSERT_TRUE(eventually([&] {
    turns += std::exchange(last, load_word(block.keeper_heartbeat_ns)) != last;
    return turns >= 5 || load_word(block.worker_starts) != 1;
  }));
  EXPECT_EQ(load_word(block.worker_starts), 1u) << "a worker, while that closer isn't dead";
  EXPECT_GE(load_word(block.closer_pidfd), 0);
  end.release();
  ASSERT_TRUE(eventually([&] { return load_word(block.worker_starts) == 2; }));
  ASSERT_TRUE(machine.await_complete());
}

}  // namespace
}  // namespace outlive::machine
