#include "machine/process/control.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>

#include "base/sys.h"

namespace outlive::machine {
namespace {

abi::ChildEntry& add_child(Control& control, pid_t pid) {
  abi::ChildEntry* entry = control.free_entry();
  EXPECT_NE(entry, nullptr);
  entry->pidfd = sys::eventfd(0).take().release();
  entry->gate_fd = -1;
  entry->exit_slot = 0;
  store_word(entry->pid, int64_t{pid});
  return *entry;
}

TEST(Control, TheConfigurationIsReplacedAsAWhole) {
  Control control = Control::create().take();
  EXPECT_EQ(control.kept_config().error().code, ENOENT);
  for (const char* text : {"", "[limits]\nfds = 100\n", "short"}) {
    ASSERT_TRUE(control.keep_config(text));
    ASSERT_TRUE(control.kept_config());
    EXPECT_EQ(*control.kept_config(), text);
  }
  EXPECT_EQ(control.operators().config_number, 3u);
  const std::vector<BorrowedFd> held = control.held_fds();
  EXPECT_EQ(std::ranges::count(held, control.config_file()), 1) << "a new worker would close it";
}

// As an outlived does that doesn't know of it, and hands the number to a client's file.
TEST(Control, ANumberThatBecameAnothersIsNotTheConfiguration) {
  Control control = Control::create().take();
  EXPECT_FALSE(control.config_file().valid());
  ASSERT_TRUE(control.keep_config("kept"));
  const UniqueFd kept(control.config_file().get());
  const UniqueFd other = sys::memfd_create("outlive-config", 0).take();
  ASSERT_EQ(::dup2(other.get(), kept.get()), kept.get());
  EXPECT_FALSE(control.config_file().valid());
  EXPECT_EQ(control.kept_config().error().code, ENOENT);
  EXPECT_EQ(std::ranges::count(control.held_fds(), BorrowedFd(kept)), 0);
  // And it isn't closed, when there is a new text.
  ASSERT_TRUE(control.keep_config("again"));
  EXPECT_TRUE(sys::get_fd_flags(kept));
  EXPECT_EQ(*control.kept_config(), "again");
}

TEST(Control, TheMetricsListener) {
  Control control = Control::create().take();
  EXPECT_FALSE(control.metrics_listener().valid());
  auto pair = sys::socketpair(SOCK_STREAM).take();
  const int number = pair.first.get();
  ASSERT_TRUE(control.keep_metrics_listener(std::move(pair.first)));
  EXPECT_EQ(control.metrics_listener().get(), number);
  EXPECT_EQ(std::ranges::count(control.held_fds(), BorrowedFd(number)), 1);
  const Result<UniqueFd> before = control.keep_metrics_listener({});
  ASSERT_TRUE(before);
  EXPECT_EQ(before->get(), number);
  EXPECT_FALSE(control.metrics_listener().valid());
}

TEST(Control, AnExitIsPeekedUntilItIsPopped) {
  Control control = Control::create().take();
  EXPECT_FALSE(control.peek_exit());
  abi::ChildEntry& entry = add_child(control, 100);
  const BorrowedFd pidfd(static_cast<int>(entry.pidfd));
  control.push_exit(entry, {100, CLD_KILLED, SIGKILL});
  EXPECT_FALSE(control.child(100)) << "it doesn't run any more";
  for (int i = 0; i < 2; ++i) {
    const std::optional<ChildExit> exit = control.peek_exit();
    ASSERT_TRUE(exit);
    EXPECT_EQ(exit->pid, 100);
    EXPECT_EQ(exit->code, CLD_KILLED);
    EXPECT_EQ(exit->status, SIGKILL);
    EXPECT_EQ(exit->text(), "signal 9 (Killed)");
    EXPECT_TRUE(sys::get_fd_flags(pidfd));
  }
  control.pop_exit();
  EXPECT_FALSE(control.peek_exit());
  EXPECT_FALSE(sys::get_fd_flags(pidfd)) << "popping closes the pidfd";
  EXPECT_EQ(load_word(entry.pid), 0);
}

TEST(Control, TheRingTakesAllChildrenInOrderAgainAndAgain) {
  Control control = Control::create().take();
  pid_t next = 1;
  for (int round = 0; round < 3; ++round) {
    std::vector<abi::ChildEntry*> entries;
    const pid_t first = next;
    for (size_t i = 0; i < abi::kMaxChildren; ++i) {
      entries.push_back(&add_child(control, next++));
    }
    EXPECT_EQ(control.free_entry(), nullptr);
    std::reverse(entries.begin(), entries.end());
    for (abi::ChildEntry* entry : entries) {
      control.push_exit(*entry, {static_cast<pid_t>(entry->pid), CLD_EXITED, 3});
    }
    for (pid_t pid = next - 1; pid >= first; --pid) {
      const std::optional<ChildExit> exit = control.peek_exit();
      ASSERT_TRUE(exit);
      ASSERT_EQ(exit->pid, pid);
      control.pop_exit();
    }
    EXPECT_FALSE(control.peek_exit());
  }
}

// What a keeper or worker that was killed in the middle leaves is finished by the next one.
TEST(Control, AHalfDonePushOrPopIsFinished) {
  Control control = Control::create().take();
  abi::ChildEntry& entry = add_child(control, 100);
  store_word(entry.exit_slot, uint64_t{1});  // killed before the ring was written
  control.push_exit(entry, {100, CLD_EXITED, 1});
  control.push_exit(entry, {100, CLD_EXITED, 1});  // killed after it, before the reap
  EXPECT_EQ(load_word(control.block().exit_head), 1u);
  const UniqueFd pidfd(static_cast<int>(entry.pidfd));
  store_word(entry.pid, int64_t{0});  // killed before the tail was moved
  abi::ChildEntry& another = add_child(control, 101);
  ASSERT_EQ(&another, &entry) << "the entry is in use again";
  const UniqueFd another_pidfd(static_cast<int>(another.pidfd));
  ASSERT_TRUE(control.peek_exit());
  control.pop_exit();
  EXPECT_FALSE(control.peek_exit());
  EXPECT_TRUE(control.child(101)) << "the new child in the same entry is untouched";
  EXPECT_TRUE(sys::get_fd_flags(another_pidfd));
  EXPECT_TRUE(sys::get_fd_flags(pidfd));
}

TEST(Control, PidsComeAgain) {
  Control control = Control::create().take();
  abi::ChildEntry& old = add_child(control, 100);
  control.push_exit(old, {100, CLD_EXITED, 1});
  abi::ChildEntry& reused = add_child(control, 100);
  ASSERT_NE(&old, &reused);
  EXPECT_EQ(control.find_entry(100), &reused);
  control.pop_exit();
  EXPECT_EQ(control.find_entry(100), &reused);
  const UniqueFd pidfd(static_cast<int>(reused.pidfd));
}

TEST(Control, HeldFdsNamesAll) {
  Control control = Control::create().take();
  abi::ChildEntry& entry = add_child(control, 100);
  const UniqueFd pidfd(static_cast<int>(entry.pidfd));
  const std::vector<BorrowedFd> held = control.held_fds();
  for (const BorrowedFd fd :
       {control.fd(), control.worker_wake(), control.keeper_wake(), pidfd.borrow()}) {
    EXPECT_NE(std::find(held.begin(), held.end(), fd), held.end()) << fd.get();
  }
}

TEST(ChildExit, PacksAsWaitidSays) {
  const ChildExit exit{5, CLD_EXITED, 127};
  const ChildExit again = ChildExit::from_packed(5, exit.packed());
  EXPECT_EQ(again.code, CLD_EXITED);
  EXPECT_EQ(again.status, 127);
  EXPECT_EQ(again.text(), "exit code 127");
  EXPECT_EQ((ChildExit{5, 0, 0}).text(), "ended");
}

}  // namespace
}  // namespace outlive::machine
