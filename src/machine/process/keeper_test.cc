// The keeper, its worker and its spare as real processes, killed in every way.
#include "machine/process/keeper.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <thread>

#include "machine/process/closer.h"
#include "machine/process/fd_table.h"
#include "machine/process/test_machine.h"

namespace outlive::machine {
namespace {

// --- a service that counts: request n is answered with {n, who} ----------------------------------

struct Request {
  uint64_t sequence = 0;
};
struct Reply {
  uint64_t sequence = 0;
  uint64_t start_number = 0;  // of the worker that answered
};
// What outlives the worker.
struct CounterState {
  std::atomic<uint64_t> last = 0;      // sequence of the last request that was done
  std::atomic<pid_t> owner = 0;        // the worker that has the state
  std::atomic<uint64_t> overlaps = 0;  // workers that found another one alive
  std::atomic<int> held = -1;          // a memfd that the first worker left in the table
  std::atomic<uint64_t> held_lost = 0;
};

std::span<std::byte> bytes_of(auto& value) {
  return std::as_writable_bytes(std::span(&value, 1));
}

// Peek, do, answer, consume: as architecture.md says under "Requests".
void answer_requests(CounterState& state, BorrowedFd socket, uint64_t start_number) {
  for (;;) {
    Request request;
    const Result<size_t> size = sys::recv(socket, bytes_of(request), MSG_PEEK | MSG_DONTWAIT);
    if (!size || *size != sizeof request) return;
    if (request.sequence == state.last + 1) ++state.last;  // effect and commit in one store
    const Reply reply{request.sequence, start_number};
    static_cast<void>(sys::send(socket, std::as_bytes(std::span(&reply, 1)), MSG_DONTWAIT));
    static_cast<void>(sys::recv(socket, bytes_of(request), MSG_DONTWAIT));
  }
}

class KeeperTest : public testing::Test {
 protected:
  KeeperTest() : pair_(sys::socketpair(SOCK_SEQPACKET).take()) {
    options_.most_deaths = 1'000'000;
    options_.worker_main = [this](WorkerContext& context) { return counter(context); };
  }

  int counter(WorkerContext& context) {
    if (const pid_t before = state_->owner; before != 0 && process_runs(before)) ++state_->overlaps;
    state_->owner = ::getpid();
    if (state_->held == -1) {
      UniqueFd held = sys::memfd_create("held", 0).take();
      static_cast<void>(sys::write_all(held, "still here"));
      state_->held = held.release();
    }
    char text[10] = {};
    if (::pread(state_->held, text, sizeof text, 0) != sizeof text ||
        std::string_view(text, sizeof text) != "still here") {
      ++state_->held_lost;
    }
    return machine_.serve(
        context, [&] { answer_requests(*state_, pair_.second, context.start_number); },
        pair_.second);
  }

  void start() { machine_.start(options_, &pair_.first); }

  // One request and its reply, over however many workers it takes.
  Reply call() {
    const Request request{++sequence_};
    EXPECT_TRUE(sys::send(pair_.first, std::as_bytes(std::span(&request, 1)), 0));
    for (;;) {
      pollfd wait{pair_.first.get(), POLLIN, 0};
      Reply reply;
      if (::poll(&wait, 1, 20'000) != 1) {
        ADD_FAILURE() << "no answer to request " << sequence_;
        return reply;
      }
      const Result<size_t> size = sys::recv(pair_.first, bytes_of(reply), 0);
      if (!size || *size != sizeof reply) {
        ADD_FAILURE() << "connection lost at request " << sequence_;
        return reply;
      }
      // Sent twice by a worker that was killed between sending and consuming.
      if (reply.sequence < sequence_) continue;
      EXPECT_EQ(reply.sequence, sequence_);
      return reply;
    }
  }

  void expect_nothing_lost() {
    EXPECT_EQ(state_->last, sequence_);
    EXPECT_EQ(state_->overlaps, 0u) << "two workers at once";
    EXPECT_EQ(state_->held_lost, 0u) << "a held fd was closed";
  }

  abi::ControlBlock& block() { return machine_.control().block(); }

  TestMachine machine_;
  SharedMemory<CounterState> state_;
  sys::SocketPair pair_;
  KeeperOptions options_;
  uint64_t sequence_ = 0;
};

TEST_F(KeeperTest, AWorkerKilledAHundredTimesLosesNoRequest) {
  start();
  ASSERT_TRUE(machine_.await_complete());
  std::vector<uint64_t> gaps;
  const pid_t keeper = machine_.control().keeper_pid();
  for (int i = 0; i < 100; ++i) {
    const uint64_t before = load_word(block().worker_starts);
    std::atomic<uint64_t> killed_ns = 0;
    std::thread killer([&] {
      // Anywhere in the stream of requests.
      const uint64_t until = state_->last + static_cast<uint64_t>(i % 7);
      while (state_->last < until) std::this_thread::yield();
      const uint64_t now = system_clock().now_ns();
      signal_process(machine_.worker_pid(), SIGKILL);
      killed_ns = now;
    });
    while (call().start_number == before && !HasFailure()) {
    }
    killer.join();
    gaps.push_back(system_clock().now_ns() - killed_ns);
    ASSERT_FALSE(HasFailure());
  }
  expect_nothing_lost();
  EXPECT_EQ(load_word(block().worker_deaths), 100u);
  EXPECT_EQ(machine_.control().keeper_pid(), keeper);
  std::sort(gaps.begin(), gaps.end());
  printf("worker killed: %llu requests, gap from kill to answer p50 %llu us, max %llu us\n",
         static_cast<unsigned long long>(sequence_),
         static_cast<unsigned long long>(gaps[50] / 1000),
         static_cast<unsigned long long>(gaps.back() / 1000));
}

TEST_F(KeeperTest, TheSpareTakesOverAgainAndAgain) {
  start();
  std::vector<uint64_t> gaps;
  for (uint64_t takeover = 1; takeover <= 20; ++takeover) {
    ASSERT_TRUE(machine_.await_complete());
    call();
    const pid_t spare = machine_.spare_pid();
    const pid_t worker = machine_.worker_pid();
    const uint64_t before = load_word(block().worker_starts);
    const uint64_t killed_ns = system_clock().now_ns();
    signal_process(machine_.control().keeper_pid(), SIGKILL);
    while (call().start_number == before && !HasFailure()) {
    }
    gaps.push_back(system_clock().now_ns() - killed_ns);
    ASSERT_FALSE(HasFailure());
    EXPECT_EQ(machine_.control().keeper_pid(), spare);
    EXPECT_EQ(load_word(block().keeper_deaths), takeover);
    EXPECT_FALSE(process_runs(worker));
    ASSERT_TRUE(eventually([&] {
      const pid_t now = machine_.control().spare_pid();
      return now != 0 && now != spare;
    }));
  }
  expect_nothing_lost();
  std::sort(gaps.begin(), gaps.end());
  printf("keeper killed: gap from kill to answer p50 %llu us, max %llu us\n",
         static_cast<unsigned long long>(gaps[10] / 1000),
         static_cast<unsigned long long>(gaps.back() / 1000));
}

TEST_F(KeeperTest, WorkerAndKeeperKilledTogether) {
  start();
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(machine_.await_complete());
    const pid_t spare = machine_.spare_pid();
    signal_process(machine_.worker_pid(), SIGKILL);
    signal_process(machine_.control().keeper_pid(), SIGKILL);
    ASSERT_TRUE(eventually([&] { return machine_.control().keeper_pid() == spare; }));
    ASSERT_TRUE(eventually([&] { return machine_.control().spare_pid() != spare; }));
    call();
    ASSERT_FALSE(HasFailure());
  }
  expect_nothing_lost();
}

TEST_F(KeeperTest, AKilledSpareIsReplaced) {
  start();
  ASSERT_TRUE(machine_.await_complete());
  const pid_t keeper = machine_.control().keeper_pid();
  for (int i = 0; i < 3; ++i) {
    const pid_t spare = machine_.spare_pid();
    signal_process(spare, SIGKILL);
    ASSERT_TRUE(eventually([&] {
      const pid_t now = machine_.control().spare_pid();
      return now != 0 && now != spare;
    }));
  }
  EXPECT_EQ(machine_.control().keeper_pid(), keeper);
  EXPECT_EQ(load_word(block().worker_starts), 1u);
  signal_process(keeper, SIGKILL);
  ASSERT_TRUE(eventually([&] { return load_word(block().keeper_deaths) == 1; }));
  call();
  expect_nothing_lost();
}

TEST_F(KeeperTest, AStoppedWorkerIsReplaced) {
  options_.heartbeat_timeout_ns = 300'000'000;
  start();
  ASSERT_TRUE(machine_.await_complete());
  call();
  const pid_t worker = machine_.worker_pid();
  signal_process(worker, SIGSTOP);
  EXPECT_GE(call().start_number, 2u);
  EXPECT_NE(machine_.worker_pid(), worker);
  expect_nothing_lost();
}

TEST_F(KeeperTest, AStoppedSpareIsReplaced) {
  start();
  ASSERT_TRUE(machine_.await_complete());
  const pid_t spare = machine_.spare_pid();
  signal_process(spare, SIGSTOP);
  ASSERT_TRUE(eventually([&] {
    const pid_t now = machine_.control().spare_pid();
    return now != 0 && now != spare;
  }));
  signal_process(machine_.control().keeper_pid(), SIGKILL);
  ASSERT_TRUE(eventually([&] { return load_word(block().keeper_deaths) == 1; }));
  call();
  expect_nothing_lost();
}

TEST_F(KeeperTest, AStoppedKeeperIsReplaced) {
  options_.heartbeat_timeout_ns = 300'000'000;
  start();
  ASSERT_TRUE(machine_.await_complete());
  const pid_t spare = machine_.spare_pid();
  const pid_t keeper = machine_.control().keeper_pid();
  signal_process(keeper, SIGSTOP);
  call();  // the worker serves meanwhile
  ASSERT_TRUE(eventually([&] { return machine_.control().keeper_pid() == spare; }));
  EXPECT_FALSE(process_runs(keeper));
  ASSERT_TRUE(machine_.await_complete());
  call();
  expect_nothing_lost();
}

TEST_F(KeeperTest, KillsFromOutsideAreNoCrashLoop) {
  options_.most_deaths = 2;
  options_.death_window_ns = 3600'000'000'000;
  start();
  for (uint64_t i = 1; i <= 20; ++i) {
    ASSERT_TRUE(machine_.await_complete());
    signal_process(machine_.worker_pid(), SIGKILL);
    while (call().start_number <= i && !HasFailure()) {
    }
    EXPECT_EQ(load_word(block().last_death), static_cast<uint64_t>(abi::DeathKind::kOutside));
  }
  EXPECT_EQ(load_word(block().hold), 0u);
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(machine_.await_complete());
    const uint64_t starts = load_word(block().worker_starts);
    signal_process(machine_.worker_pid(), SIGABRT);
    ASSERT_TRUE(eventually([&] { return load_word(block().worker_starts) > starts; }));
  }
  EXPECT_EQ(load_word(block().last_death), static_cast<uint64_t>(abi::DeathKind::kOwn));
  ASSERT_TRUE(machine_.await_state(abi::WorkerState::kHolding));
  expect_nothing_lost();
}

// The spare was cloned before all of it, and must not begin anew.
TEST_F(KeeperTest, HoldModeOutlivesTheKeeper) {
  options_.most_deaths = 1;
  SharedMemory<std::atomic<uint64_t>> attached;
  options_.worker_main = [&](WorkerContext& context) {
    if (!context.hold) ++*attached;
    return counter(context);
  };
  start();
  for (uint64_t i = 1; i <= 2; ++i) {
    ASSERT_TRUE(machine_.await_complete());
    signal_process(machine_.worker_pid(), SIGABRT);
    ASSERT_TRUE(eventually([&] { return load_word(block().worker_starts) == i + 1; }));
  }
  ASSERT_TRUE(machine_.await_state(abi::WorkerState::kHolding));
  const pid_t spare = machine_.spare_pid();
  signal_process(machine_.control().keeper_pid(), SIGKILL);
  ASSERT_TRUE(eventually([&] { return machine_.control().keeper_pid() == spare; }));
  ASSERT_TRUE(machine_.await_state(abi::WorkerState::kHolding));
  call();
  EXPECT_EQ(*attached, 2u);
}

TEST_F(KeeperTest, TheWorkerIsTheFirstToGoWhenMemoryEnds) {
  start();
  ASSERT_TRUE(machine_.await_complete());
  const auto score_of = [](pid_t pid) {
    const auto text = sys::read_file(fmt::format("/proc/{}/oom_score_adj", pid));
    return text ? atoi(text->c_str()) : -1;
  };
  const int ours = score_of(::getpid());
  EXPECT_EQ(score_of(machine_.worker_pid()), std::min(ours + 500, 1000));
  EXPECT_EQ(score_of(machine_.spare_pid()), ours);
  EXPECT_EQ(score_of(machine_.control().keeper_pid()), ours);
}

TEST_F(KeeperTest, TheTableStaysFlat) {
  start();
  ASSERT_TRUE(machine_.await_complete());
  const auto open_fds = [&] {
    struct stat status {};
    EXPECT_EQ(::stat(fmt::format("/proc/{}/fd", machine_.control().keeper_pid()).c_str(), &status),
              0);
    return status.st_size;
  };
  const auto before = open_fds();
  for (int i = 0; i < 30; ++i) {
    const uint64_t starts = load_word(block().worker_starts);
    signal_process(machine_.worker_pid(), SIGKILL);
    while (call().start_number == starts && !HasFailure()) {
    }
  }
  EXPECT_EQ(open_fds(), before);
  for (int i = 0; i < 3; ++i) {
    const pid_t spare = machine_.spare_pid();
    signal_process(machine_.control().keeper_pid(), SIGKILL);
    ASSERT_TRUE(eventually([&] { return machine_.control().keeper_pid() == spare; }));
    ASSERT_TRUE(eventually([&] {
      const pid_t now = machine_.control().spare_pid();
      return now != 0 && now != spare;
    }));
  }
  call();
  EXPECT_EQ(open_fds(), before);
}

// --- how it ends ---------------------------------------------------------------------------------

TEST_F(KeeperTest, SigtermEndsEverything) {
  start();
  ASSERT_TRUE(machine_.await_complete());
  const std::array<pid_t, 2> others = {machine_.worker_pid(), machine_.control().spare_pid()};
  signal_process(machine_.pid(), SIGTERM);
  EXPECT_EQ(machine_.exit_code(), 0);
  EXPECT_EQ(load_word(block().stop_requested), 1u);
  for (const pid_t pid : others) EXPECT_FALSE(process_runs(pid));
}

TEST_F(KeeperTest, SighupIsCounted) {
  start();
  ASSERT_TRUE(machine_.await_complete());
  for (uint64_t i = 1; i <= 2; ++i) {
    signal_process(machine_.pid(), SIGHUP);
    ASSERT_TRUE(eventually([&] { return machine_.control().reload_count() == i; }));
  }
  EXPECT_EQ(load_word(block().worker_starts), 1u);
}

TEST_F(KeeperTest, AWorkerThatCanNotStartEndsEverythingWithItsCode) {
  options_.worker_main = [](WorkerContext&) { return 78; };
  start();
  EXPECT_EQ(machine_.exit_code(), 78);
  EXPECT_EQ(load_word(block().worker_starts), 1u);
}

TEST_F(KeeperTest, AfterItHasServedAnErrorIsADeath) {
  options_.worker_main = [this](WorkerContext& context) {
    if (context.start_number == 1) {
      context.control.set_worker_state(abi::WorkerState::kServing);
      eventually([&] { return load_word(context.control.block().ever_served) == 1; });
      return 3;
    }
    return context.start_number == 2 ? kRestartCode : counter(context);
  };
  start();
  EXPECT_EQ(call().start_number, 3u);
  EXPECT_EQ(load_word(block().worker_deaths), 2u);
}

TEST_F(KeeperTest, ACrashLoopEndsInHoldModeAndSighupTriesAgain) {
  options_.most_deaths = 4;
  options_.death_window_ns = 60'000'000'000;
  SharedMemory<std::atomic<bool>> mended;
  options_.worker_main = [&](WorkerContext& context) {
    if (!context.hold && !*mended) ::raise(SIGKILL);
    return counter(context);
  };
  start();
  ASSERT_TRUE(machine_.await_state(abi::WorkerState::kHolding));
  EXPECT_EQ(load_word(block().worker_deaths), 5u);
  EXPECT_EQ(call().start_number, 6u) << "in hold mode the worker answers";
  // A death in hold mode is followed by another one in hold mode.
  signal_process(machine_.worker_pid(), SIGKILL);
  EXPECT_EQ(call().start_number, 7u);
  EXPECT_EQ(machine_.control().worker_state(), abi::WorkerState::kHolding);
  *mended = true;
  signal_process(machine_.pid(), SIGHUP);
  ASSERT_TRUE(machine_.await_state(abi::WorkerState::kServing));
  expect_nothing_lost();
  signal_process(machine_.pid(), SIGTERM);
  EXPECT_EQ(machine_.exit_code(), 0);
}

TEST_F(KeeperTest, WithoutAKeeperEverythingIsOneProcess) {
  options_.no_keeper = true;
  start();
  ASSERT_TRUE(machine_.await_state(abi::WorkerState::kServing));
  EXPECT_EQ(machine_.worker_pid(), machine_.pid());
  call();
  signal_process(machine_.pid(), SIGTERM);
  EXPECT_EQ(machine_.exit_code(), 0);
}

// --- what the next worker finds ------------------------------------------------------------------

TEST_F(KeeperTest, OrphansAreClosedAndTheMachineStaysWhole) {
  options_.worker_main = [this](WorkerContext& context) {
    std::vector<BorrowedFd> named = context.control.held_fds();
    named.push_back(pair_.second);
    for (int stdio = 0; stdio <= 2; ++stdio) named.push_back(BorrowedFd(stdio));
    if (state_->held >= 0) named.push_back(BorrowedFd(state_->held));
    for (const BorrowedFd fd : machine_.fds_of_test()) named.push_back(fd);
    std::sort(named.begin(), named.end());
    if (!close_orphans(named, BorrowedFd(0), nullptr)) return 1;
    // What this worker opens and forgets is the next one's orphan.
    for (int i = 0; i < 50; ++i) static_cast<void>(::dup(2));
    return counter(context);
  };
  start();
  const auto open_fds = [&] {
    struct stat status {};
    EXPECT_EQ(::stat(fmt::format("/proc/{}/fd", machine_.control().keeper_pid()).c_str(), &status),
              0);
    return status.st_size;
  };
  ASSERT_TRUE(machine_.await_complete());
  call();
  const auto before = open_fds();
  for (int i = 0; i < 10; ++i) {
    const uint64_t starts = load_word(block().worker_starts);
    signal_process(machine_.worker_pid(), SIGKILL);
    while (call().start_number == starts && !HasFailure()) {
    }
    ASSERT_TRUE(machine_.await_complete());
  }
  EXPECT_EQ(open_fds(), before);
  const pid_t spare = machine_.spare_pid();
  signal_process(machine_.control().keeper_pid(), SIGKILL);
  ASSERT_TRUE(eventually([&] { return machine_.control().keeper_pid() == spare; }));
  ASSERT_TRUE(machine_.await_complete());
  call();
  expect_nothing_lost();
}

// The closer of a killed worker must be dead before the next worker starts.
TEST_F(KeeperTest, ACloserDiesWithItsWorker) {
  SharedMemory<std::atomic<pid_t>> closer_pid;
  SharedMemory<std::atomic<int>> alive;
  options_.worker_main = [&](WorkerContext& context) {
    const pid_t before = *closer_pid;
    if (before != 0 && process_runs(before)) ++*alive;
    Closer closer(context.control);
    closer.close(BorrowedFd(::dup(2)));
    closer.tick(system_clock().now_ns());
    *closer_pid = closer.pid();
    return counter(context);
  };
  start();
  for (uint64_t i = 1; i <= 20; ++i) {
    while (call().start_number < i && !HasFailure()) {
    }
    EXPECT_NE(*closer_pid, 0);
    signal_process(machine_.worker_pid(), SIGKILL);
    ASSERT_TRUE(eventually([&] { return load_word(block().worker_starts) == i + 1; }));
  }
  call();
  EXPECT_EQ(*alive, 0);
}

}  // namespace
}  // namespace outlive::machine
