#include "machine/process/closer.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>

#include <set>

#include "base/fault.h"
#include "machine/process/test_machine.h"

namespace outlive::machine {
namespace {

bool is_open(int number) {
  return static_cast<bool>(sys::get_fd_flags(BorrowedFd(number)));
}

class CloserTest : public testing::Test {
 protected:
  CloserTest() { set_log_level(LogLevel::kError); }

  // Ticks until the condition holds, and notes the longest tick.
  bool tick_until(Closer& closer, const std::function<bool()>& condition) {
    return eventually([&] {
      const uint64_t before = system_clock().now_ns();
      closer.tick(before);
      longest_ns_ = std::max(longest_ns_, system_clock().now_ns() - before);
      return condition();
    });
  }

  // A connected TCP socket whose close blocks: SO_LINGER, and data that the other end doesn't take.
  void make_slow_socket(int* slow, UniqueFd* peer) {
    const UniqueFd listener = sys::socket(AF_INET, SOCK_STREAM).take();
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    ASSERT_TRUE(sys::bind(listener, generic, sizeof address));
    ASSERT_TRUE(sys::listen(listener, 1));
    socklen_t length = sizeof address;
    ASSERT_EQ(::getsockname(listener.get(), generic, &length), 0);
    UniqueFd socket = sys::socket(AF_INET, SOCK_STREAM).take();
    ASSERT_TRUE(sys::connect(socket, generic, sizeof address));
    *peer = sys::accept(listener, 0).take();
    const linger lingers{1, 30};
    ASSERT_EQ(::setsockopt(socket.get(), SOL_SOCKET, SO_LINGER, &lingers, sizeof lingers), 0);
    ASSERT_TRUE(sys::set_nonblocking(socket, true));
    std::vector<std::byte> data(1 << 16);
    while (sys::send(socket, data, 0)) {
    }
    // Room for acknowledgements in flight comes free for a moment: fill again until it stays full.
    for (int i = 0; i < 50; ++i) {
      ::poll(nullptr, 0, 1);
      while (sys::send(socket, data, 0)) {
      }
    }
    ASSERT_TRUE(sys::set_nonblocking(socket, false));
    *slow = socket.release();
  }

  Control control_ = Control::create().take();
  uint64_t longest_ns_ = 0;
};

TEST_F(CloserTest, ClosesManyInOneProcess) {
  const int most = 3000;  // more than a batch
  std::vector<int> numbers;
  for (int i = 0; i < most; ++i) {
    const int number = ::dup(2);
    if (number == -1) break;  // an ordinary user's limit
    numbers.push_back(number);
  }
  ASSERT_GT(numbers.size(), 100u);
  for (size_t i = 0; i < 10; ++i) {  // three fds are the closer's own
    ::close(numbers.back());
    numbers.pop_back();
  }
  // So many share the time-out: one that has no processor for a while shall not be given up.
  Closer closer(control_, 1'000'000'000'000);
  EXPECT_EQ(closer.pid(), 0) << "none before it is needed";
  for (const int number : numbers) closer.close(BorrowedFd(number));
  ASSERT_TRUE(tick_until(closer, [&] { return closer.pending() == 0; }));
  for (const int number : numbers) EXPECT_FALSE(is_open(number));
  EXPECT_EQ(closer.closed(), numbers.size());
  EXPECT_EQ(closer.timeouts(), 0u);
  const pid_t pid = closer.pid();
  closer.close(BorrowedFd(::dup(2)));
  ASSERT_TRUE(tick_until(closer, [&] { return closer.pending() == 0; }));
  EXPECT_EQ(closer.pid(), pid) << "the process stays";
}

TEST_F(CloserTest, ABlockedCloseIsKilledAndTheRestIsDone) {
  int slow = -1;
  UniqueFd peer;
  make_slow_socket(&slow, &peer);
  ASSERT_GE(slow, 0);
  std::optional<Closer> closer;
  closer.emplace(control_, 300'000'000);
  std::vector<int> others;
  for (int i = 0; i < 20; ++i) others.push_back(::dup(2));
  for (size_t i = 0; i < 10; ++i) closer->close(BorrowedFd(others[i]));
  closer->close(BorrowedFd(slow));
  for (size_t i = 10; i < 20; ++i) closer->close(BorrowedFd(others[i]));
  closer->tick(system_clock().now_ns());
  const pid_t first = closer->pid();
  const uint64_t start = system_clock().now_ns();
  ASSERT_TRUE(tick_until(*closer, [&] { return closer->pending() == 0; }));
  const uint64_t took = system_clock().now_ns() - start;
  EXPECT_EQ(closer->timeouts(), 1u) << "the close of the socket has to block";
  EXPECT_EQ(closer->closed(), 21u);
  EXPECT_GE(took, 290'000'000u);
  EXPECT_LT(took, 20'000'000'000u) << "SO_LINGER is 30 s";
  EXPECT_NE(closer->pid(), first);
  closer.reset();  // its own fds may have numbers that came free
  EXPECT_FALSE(is_open(slow));
  for (const int number : others) EXPECT_FALSE(is_open(number));
  EXPECT_TRUE(eventually([&] { return !process_runs(first); }));
  printf("closer: longest tick %llu us\n", static_cast<unsigned long long>(longest_ns_ / 1000));
  EXPECT_LT(longest_ns_, 250'000'000u) << "the worker must not wait for a close";
}

// The number of a killed close may be in use again: it must not be closed a second time.
TEST_F(CloserTest, ANumberIsNeverClosedTwice) {
  int slow = -1;
  UniqueFd peer;
  make_slow_socket(&slow, &peer);
  Closer closer(control_, 200'000'000);
  closer.close(BorrowedFd(slow));
  ASSERT_TRUE(tick_until(closer, [&] { return !is_open(slow); })) << "freed while it blocks";
  EXPECT_EQ(closer.pending(), 1u);
  ASSERT_EQ(::dup2(2, slow), slow);
  ASSERT_TRUE(tick_until(closer, [&] { return closer.pending() == 0; }));
  EXPECT_TRUE(is_open(slow));
  closer.close(BorrowedFd(::dup(2)));
  ASSERT_TRUE(tick_until(closer, [&] { return closer.pending() == 0; }));
  EXPECT_TRUE(is_open(slow));
  ::close(slow);
}

// Who sends files whose closes block delays his own.
TEST_F(CloserTest, UsersTakeTurns) {
  constexpr uint64_t kHostile = 1, kOther = 2;
  std::vector<UniqueFd> peers(6);
  Closer closer(control_, 8'000'000'000);
  closer.charge(kHostile);
  for (UniqueFd& peer : peers) {
    int slow = -1;
    make_slow_socket(&slow, &peer);
    ASSERT_GE(slow, 0);
    closer.close(BorrowedFd(slow));
  }
  closer.tick(system_clock().now_ns());  // all of them are in the pipe
  closer.charge(kOther);
  const int number = ::dup(2);
  closer.close(BorrowedFd(number));
  ASSERT_TRUE(tick_until(closer, [&] { return !is_open(number); })) << "6 x 8 s without turns";
  EXPECT_LT(closer.timeouts(), 4u) << "the other one waits for at most two of the blocked";
  EXPECT_GT(closer.pending(), 1u);
}

// Descriptors that don't fit are closed by who takes the message: that must not be the worker.
TEST_F(CloserTest, TakesAMessageWhoseDescriptorsDontFit) {
  sys::SocketPair pair = sys::socketpair(SOCK_SEQPACKET).take();
  ASSERT_TRUE(sys::send(pair.first, std::as_bytes(std::span("one")), 0));
  ASSERT_TRUE(sys::send(pair.first, std::as_bytes(std::span("two")), 0));
  Closer closer(control_);
  int done = 0;
  closer.take_message(pair.second, [&] { ++done; });
  ASSERT_TRUE(tick_until(closer, [&] { return done == 1; }));
  EXPECT_TRUE(is_open(pair.second.get()));
  std::byte text[8];
  ASSERT_EQ(sys::recv(pair.second, text, MSG_DONTWAIT).take(), sizeof "two");
  EXPECT_EQ(std::string(reinterpret_cast<char*>(text)), "two");
}

TEST_F(CloserTest, AnotherOneIsMadeWhenItWasKilled) {
  Closer closer(control_);
  closer.close(BorrowedFd(::dup(2)));
  ASSERT_TRUE(tick_until(closer, [&] { return closer.pending() == 0; }));
  const pid_t pid = closer.pid();
  signal_process(pid, SIGKILL);
  const int number = ::dup(2);
  closer.close(BorrowedFd(number));
  ASSERT_TRUE(tick_until(closer, [&] { return closer.pending() == 0 && closer.pid() != 0; }));
  EXPECT_NE(closer.pid(), pid);
  EXPECT_FALSE(is_open(number));
}

TEST_F(CloserTest, OneThatRestsIsMadeAgain) {
  Closer closer(control_);
  closer.rest();  // there is none
  int number = ::dup(2);
  closer.close(BorrowedFd(number));
  closer.rest();  // it has something to do
  ASSERT_TRUE(tick_until(closer, [&] { return closer.pending() == 0; }));
  EXPECT_FALSE(is_open(number));
  const pid_t pid = closer.pid();
  closer.rest();
  EXPECT_TRUE(eventually([&] { return !process_runs(pid); }));
  number = ::dup(2);
  closer.close(BorrowedFd(number));
  ASSERT_TRUE(tick_until(closer, [&] { return closer.pending() == 0; }));
  EXPECT_FALSE(is_open(number));
  EXPECT_NE(closer.pid(), pid);
}

// Each process closes one, and is killed when it is about to close the next one.
TEST_F(CloserTest, WhatAKilledOneWasAboutToCloseIsClosed) {
  ASSERT_TRUE(arm_faults("closer.close:2=kill"));
  std::optional<Closer> closer;
  closer.emplace(control_);
  std::set<int> in_use;
  closer->in_use = [&](BorrowedFd fd) { return in_use.contains(fd.get()); };
  std::vector<int> numbers;
  for (int i = 0; i < 5; ++i) numbers.push_back(::dup(2));
  in_use.insert(numbers[3]);  // somebody else's now, as far as anyone can tell
  for (const int number : numbers) closer->close(BorrowedFd(number));
  const bool closed = tick_until(*closer, [&] { return closer->pending() == 0; });
  ASSERT_TRUE(arm_faults(""));
  ASSERT_TRUE(closed);
  EXPECT_EQ(closer->timeouts(), 0u);
  closer.reset();  // its own fds have numbers that came free
  for (const int number : numbers) {
    EXPECT_EQ(is_open(number), number == numbers[3]) << number - numbers[0];
  }
  ::close(numbers[3]);
}

// Each process closes one, and gets no further: it may just have had no CPU.
TEST_F(CloserTest, WhatOneThatWeKilledHadNotClosedIsClosed) {
  ASSERT_TRUE(arm_faults("closer.close:2=hang"));
  std::optional<Closer> closer;
  closer.emplace(control_, 100'000'000);
  closer->in_use = [](BorrowedFd) { return false; };
  std::vector<int> numbers;
  for (int i = 0; i < 3; ++i) numbers.push_back(::dup(2));
  for (const int number : numbers) closer->close(BorrowedFd(number));
  const bool closed = tick_until(*closer, [&] { return closer->pending() == 0; });
  ASSERT_TRUE(arm_faults(""));
  ASSERT_TRUE(closed);
  EXPECT_EQ(closer->timeouts(), 0u);
  closer.reset();
  for (const int number : numbers) EXPECT_FALSE(is_open(number)) << number - numbers[0];
}

TEST_F(CloserTest, LeavesNothingBehind) {
  const std::vector<BorrowedFd> before = control_.held_fds();
  const int probe = ::dup(2);
  ::close(probe);
  pid_t pid = 0;
  {
    Closer closer(control_);
    closer.close(BorrowedFd(::dup(2)));
    ASSERT_TRUE(tick_until(closer, [&] { return closer.pending() == 0; }));
    pid = closer.pid();
    EXPECT_EQ(control_.held_fds().size(), before.size() + 1) << "its pidfd is known";
  }
  EXPECT_FALSE(process_runs(pid));
  EXPECT_EQ(control_.held_fds().size(), before.size());
  const int again = ::dup(2);
  ::close(again);
  EXPECT_EQ(again, probe) << "no fd is left open";
}

}  // namespace
}  // namespace outlive::machine
