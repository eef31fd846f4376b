#include "daemon/stored_fds.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <random>

#include "base/sys.h"

namespace outlive::daemon {
namespace {

// A memfd at this number, whose size tells which one it is.
void make_at(int number, uint64_t size) {
  const UniqueFd file = sys::memfd_create("numbered", MFD_CLOEXEC).take();
  ASSERT_TRUE(sys::ftruncate(file, size));
  ASSERT_TRUE(sys::dup3(file, number, O_CLOEXEC));
}

uint64_t size_at(int number) {
  const auto status = sys::fstat(BorrowedFd(number));
  return status ? static_cast<uint64_t>(status->st_size) : 0;
}

// Moves {from, to} and looks: everyone where it belongs, and nothing where nobody belongs.
void expect_moved(const std::vector<std::pair<int, int>>& moves) {
  std::map<int, uint64_t> wanted;
  for (const auto& [from, to] : moves) {
    make_at(from, static_cast<uint64_t>(from));
    wanted[to] = static_cast<uint64_t>(from);
  }
  const Status moved = move_fds(moves);
  ASSERT_TRUE(moved) << moved.error().text();
  for (const auto& [to, size] : wanted) {
    EXPECT_EQ(size_at(to), size) << to;
    EXPECT_EQ(*sys::get_fd_flags(BorrowedFd(to)) & FD_CLOEXEC, 0) << "held fds survive an exec";
  }
  for (const auto& [from, to] : moves) {
    EXPECT_EQ(static_cast<bool>(sys::get_fd_flags(BorrowedFd(from))), wanted.contains(from))
        << from;
  }
  for (const auto& [to, size] : wanted) UniqueFd(to).reset();
}

TEST(StoredFds, MovesOverEachOther) {
  expect_moved({{200, 210}});
  expect_moved({{200, 200}});
  expect_moved({{200, 201}, {201, 202}, {202, 203}});
  expect_moved({{203, 202}, {202, 201}, {201, 200}});
}

TEST(StoredFds, MovesInRings) {
  expect_moved({{200, 201}, {201, 200}});
  expect_moved({{200, 201}, {201, 202}, {202, 200}, {203, 204}, {204, 203}, {205, 205}});
}

TEST(StoredFds, MovesAnyWay) {
  std::mt19937 random(7);
  std::vector<int> numbers;
  for (int number = 200; number < 400; ++number) numbers.push_back(number);
  for (int round = 0; round < 20; ++round) {
    std::vector<int> from = numbers;
    std::vector<int> to = numbers;
    std::shuffle(from.begin(), from.end(), random);
    std::shuffle(to.begin(), to.end(), random);
    std::vector<std::pair<int, int>> moves;
    for (size_t i = 0; i < 60 + random() % 140; ++i) moves.emplace_back(from[i], to[i]);
    expect_moved(moves);
  }
}

// In a process of its own, as descriptors are handed over from 3 on: memfds under these names. What
// it answers is its exit code.
template <typename Look>
int given(const std::vector<std::string>& names, const Look& look) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    std::string text;
    for (const std::string& name : names) text += (text.empty() ? "" : ":") + name;
    ::close_range(3, ~0u, 0);
    for (size_t i = 0; i < names.size(); ++i) {
      static_cast<void>(sys::memfd_create("given", 0).take().release());
    }
    ::unsetenv("NOTIFY_SOCKET");
    ::setenv("LISTEN_PID", std::to_string(::getpid()).c_str(), 1);
    ::setenv("LISTEN_FDS", std::to_string(names.size()).c_str(), 1);
    ::setenv("LISTEN_FDNAMES", text.c_str(), 1);
    const Result<StoredFds> stored = StoredFds::take();
    ::_exit(stored ? look(*stored) : 99);
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 98;
}

bool is_open(int number) {
  return static_cast<bool>(sys::get_fd_flags(BorrowedFd(number)));
}

TEST(StoredFds, WithAnArenaWhatIsNoSessionOfTheKernelsIsClosed) {
  EXPECT_EQ(given({"outlive-kernel-session", "o.20", "outlive-arena"},
                  [](const StoredFds& stored) {
                    if (!stored.kernel_sessions.empty()) return 1;
                    if (!stored.arena.valid()) return 2;
                    if (stored.placed != std::vector<int>{20} || !is_open(20)) return 3;
                    return is_open(4) || is_open(5) ? 4 : 0;
                  }),
            0);
}

TEST(StoredFds, WithoutAnArenaAndWithoutSessionsOfTheKernelsAllIsClosed) {
  EXPECT_EQ(given({"outlive-kernel-session", "o.20", "outlive-device"},
                  [](const StoredFds& stored) {
                    if (!stored.kernel_sessions.empty() || !stored.placed.empty()) return 1;
                    if (stored.arena.valid() || stored.device_listener.valid()) return 2;
                    return is_open(3) || is_open(4) || is_open(5) || is_open(20) ? 3 : 0;
                  }),
            0);
}

}  // namespace
}  // namespace outlive::daemon
