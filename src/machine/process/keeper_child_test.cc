// Launched children over the whole machine: their exits, and the deaths of those who watch them.
#include <gtest/gtest.h>

#include "machine/process/keeper.h"
#include "machine/process/launch.h"
#include "machine/process/test_machine.h"

namespace outlive::machine {
namespace {

struct ServiceState {
  std::atomic<pid_t> pid = 0;
  std::atomic<uint64_t> exits = 0;
  std::atomic<int64_t> status = -1;
};

// A worker that launches `sh -c script` once, ever, and notes its exit.
std::function<int(WorkerContext&)> launching_worker(TestMachine& machine, ServiceState& state,
                                                    std::string script) {
  return [&machine, &state, script](WorkerContext& context) {
    Control& control = context.control;
    LaunchQueue queue(control);
    if (state.pid == 0) {
      LaunchSpec spec;
      spec.program = "sh";
      spec.argv = {"sh", "-c", script};
      spec.env = {"PATH=/usr/bin:/bin"};
      spec.uid = ::geteuid();
      spec.gid = ::getegid();
      queue.submit(std::move(spec), [&](Result<Launched> launched) {
        if (!launched) return;
        state.pid = launched->pid;  // the record
        static_cast<void>(open_gate(control, launched->pid));
      });
      control.wake_keeper();
    }
    control.wake_worker();  // a first turn
    return machine.serve(context, [&] {
      queue.pump();
      for (; const std::optional<ChildExit> exit = control.peek_exit(); control.pop_exit()) {
        if (exit->pid != state.pid) continue;
        state.status = exit->packed();
        ++state.exits;
      }
    });
  };
}

class KeeperChildTest : public testing::TestWithParam<bool> {
 protected:
  void start(const std::string& script) {
    KeeperOptions options;
    options.no_keeper = GetParam();
    options.worker_main = launching_worker(machine_, *state_, script);
    machine_.start(std::move(options));
  }
  ChildExit exit() const { return ChildExit::from_packed(state_->pid, state_->status); }

  TestMachine machine_;
  SharedMemory<ServiceState> state_;
};
INSTANTIATE_TEST_SUITE_P(Keeper, KeeperChildTest, testing::Values(false, true),
                         [](const auto& parameter) {
                           return parameter.param ? "inside" : "beside";
                         });

TEST_P(KeeperChildTest, ExitsReachTheWorker) {
  start("exit 7");
  ASSERT_TRUE(eventually([&] { return state_->exits == 1; }));
  EXPECT_EQ(exit().code, CLD_EXITED);
  EXPECT_EQ(exit().status, 7);
}

TEST_P(KeeperChildTest, NoServiceIsLeftAtTheEnd) {
  start("sleep 1000 & wait");
  ASSERT_TRUE(eventually([&] { return state_->pid != 0; }));
  signal_process(machine_.pid(), SIGTERM);
  EXPECT_EQ(machine_.exit_code(), 0);
  EXPECT_FALSE(process_runs(state_->pid));
}

bool catches_sigterm(pid_t pid) {
  const Result<std::string> status = sys::read_file(fmt::format("/proc/{}/status", pid));
  const size_t at = status ? status->find("SigCgt:\t") : std::string::npos;
  if (at == std::string::npos) return false;
  return (std::stoull(status->substr(at + 8), nullptr, 16) & (1u << (SIGTERM - 1))) != 0;
}

class KeeperServiceTest : public testing::Test {
 protected:
  void start_service(const std::string& script) {
    KeeperOptions options;
    options.worker_main = launching_worker(machine_, *service_, script);
    machine_.start(std::move(options));
    ASSERT_TRUE(machine_.await_complete());
    ASSERT_TRUE(eventually([&] { return service_->pid != 0; }));
  }
  ChildExit exit() const { return ChildExit::from_packed(service_->pid, service_->status); }
  abi::ControlBlock& block() { return machine_.control().block(); }

  TestMachine machine_;
  SharedMemory<ServiceState> service_;
};

TEST_F(KeeperServiceTest, AnExitWhileNoWorkerLivesIsReported) {
  start_service("sleep 1000");
  // The worker can't pop; stopped, then killed.
  signal_process(machine_.worker_pid(), SIGSTOP);
  signal_process(service_->pid, SIGKILL);
  ASSERT_TRUE(eventually([&] { return load_word(block().exit_head) == 1; }));
  signal_process(machine_.worker_pid(), SIGKILL);
  ASSERT_TRUE(eventually([&] { return service_->exits == 1; }));
  EXPECT_EQ(exit().status, SIGKILL);
}

// Its parent is dead: the new keeper can't wait for it, but learns of its end.
TEST_F(KeeperServiceTest, AServiceOfADeadKeeperIsStillWatched) {
  start_service("trap 'exit 5' TERM; while :; do sleep 0.01; done");
  const pid_t service = service_->pid;
  const pid_t spare = machine_.spare_pid();
  signal_process(machine_.control().keeper_pid(), SIGKILL);
  ASSERT_TRUE(eventually([&] { return machine_.control().keeper_pid() == spare; }));
  ASSERT_TRUE(machine_.await_complete());
  EXPECT_TRUE(process_runs(service));
  EXPECT_TRUE(machine_.control().child(service));
  ASSERT_TRUE(eventually([&] { return catches_sigterm(service); }));
  signal_process(service, SIGTERM);
  ASSERT_TRUE(eventually([&] {
    ::waitpid(service, nullptr, WNOHANG);  // as init does
    return service_->exits == 1;
  }));
  // Before Linux 6.15 nobody can know how.
  if (exit().code != 0) {
    EXPECT_EQ(exit().code, CLD_EXITED);
    EXPECT_EQ(exit().status, 5);
  }
  EXPECT_FALSE(machine_.control().child(service));
}

}  // namespace
}  // namespace outlive::machine
