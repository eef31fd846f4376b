// For tests: a keeper with its worker and spare in processes of their own, that leave with the
// test, however it ends.
#pragma once

#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <new>

#include "base/clock.h"
#include "base/log.h"
#include "base/sys.h"
#include "machine/process/keeper.h"

namespace outlive::machine {

// A T in memory that the test and all its processes share.
template <typename T>
class SharedMemory {
 public:
  SharedMemory() {
    mapping_ = sys::mmap(sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, {}).take();
    new (mapping_.data()) T();
  }
  T* operator->() const { return reinterpret_cast<T*>(mapping_.data()); }
  T& operator*() const { return *reinterpret_cast<T*>(mapping_.data()); }

 private:
  sys::Mapping mapping_;
};

// Waits for a condition that another process makes true; false: not within 20 s.
inline bool eventually(const std::function<bool()>& condition) {
  const uint64_t end = system_clock().now_ns() + 20'000'000'000;
  while (!condition()) {
    if (system_clock().now_ns() > end) return false;
    ::poll(nullptr, 0, 1);
  }
  return true;
}

// Never 0 or less: that would be the test's own process group.
inline void signal_process(pid_t pid, int signal) {
  ASSERT_GT(pid, 0);
  EXPECT_EQ(::kill(pid, signal), 0) << pid;
}

inline bool process_runs(pid_t pid) {
  const Result<std::string> stat = sys::read_file(fmt::format("/proc/{}/stat", pid));
  if (!stat) return false;
  const size_t end = stat->rfind(')');
  return end != std::string::npos && (*stat)[end + 2] != 'Z' && (*stat)[end + 2] != 'X';
}

class TestMachine {
 public:
  TestMachine() : control_(Control::create().take()), lifeline_(sys::pipe().take()) {
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  }
  ~TestMachine() {
    lifeline_.write.reset();  // the worker sees it and ends everything
    if (started_ && !eventually([this] { return all_gone(); })) {
      ADD_FAILURE() << "the machine doesn't end";
      for (const pid_t pid : {control_.spare_pid(), control_.keeper_pid()}) {
        if (pid > 0) ::kill(pid, SIGKILL);
      }
    }
  }

  // `client_end` is closed in the machine.
  void start(KeeperOptions options, UniqueFd* client_end = nullptr) {
    started_ = true;
    pid_ = ::fork();
    ASSERT_NE(pid_, -1);
    if (pid_ != 0) return;
    set_log_level(LogLevel::kError);
    lifeline_.write.reset();
    if (client_end != nullptr) client_end->reset();
    const Result<int> code = run_keeper(control_, std::move(options));
    if (!code) log_error("{}", code.error().text());
    ::_exit(code ? *code : 99);
  }

  // The exit code of the process that start() made.
  int exit_code() {
    int status = 0;
    EXPECT_EQ(::waitpid(pid_, &status, 0), pid_);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }

  bool await_state(abi::WorkerState state) {
    return eventually([&] { return control_.worker_state() == state; });
  }
  // A worker that serves, and a spare.
  bool await_complete() {
    return await_state(abi::WorkerState::kServing) &&
           eventually([&] { return control_.spare_pid() != 0; });
  }

  // A worker's loop: until the stop or the end of the test. `readable` is polled, too.
  int serve(WorkerContext& context, const std::function<void()>& turn, BorrowedFd readable = {}) {
    Control& control = context.control;
    control.set_worker_state(context.hold ? abi::WorkerState::kHolding
                                          : abi::WorkerState::kServing);
    for (;;) {
      control.beat(system_clock().now_ns());
      pollfd waits[] = {{lifeline_.read.get(), POLLIN, 0},
                        {control.worker_wake().get(), POLLIN, 0},
                        {context.inner_keeper.get(), POLLIN, 0},
                        {readable.get(), POLLIN, 0}};
      ::poll(waits, 4, 20);
      if (waits[0].revents != 0 || control.stop_requested() != 0) return 0;
      control.drain_worker_wake();
      if (waits[2].revents != 0) context.keeper_turn();
      if (turn) turn();
    }
  }

  Control& control() { return control_; }
  // A process exists a moment before its number is written down.
  pid_t worker_pid() {
    EXPECT_TRUE(eventually([this] { return control_.worker_pid() > 0; }));
    return control_.worker_pid();
  }
  pid_t spare_pid() {
    EXPECT_TRUE(eventually([this] { return control_.spare_pid() > 0; }));
    return control_.spare_pid();
  }
  pid_t pid() const { return pid_; }
  // Not orphans.
  std::vector<BorrowedFd> fds_of_test() const { return {lifeline_.read}; }

 private:
  // Reaps what has come to us.
  bool all_gone() {
    while (::waitpid(-1, nullptr, WNOHANG) > 0) {
    }
    return errno == ECHILD;
  }

  Control control_;
  sys::Pipe lifeline_;
  pid_t pid_ = 0;
  bool started_ = false;
};

}  // namespace outlive::machine
