#include "machine/process/fd_table.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "base/clock.h"
#include "base/sys.h"

namespace outlive::machine {
namespace {

// The limit and the numbers are the process's: each test has one of its own.
void in_child(void (*body)()) {
  const pid_t pid = ::fork();
  ASSERT_NE(pid, -1);
  if (pid == 0) {
    // What the test's starter has left open.
    static_cast<void>(sys::close_range(3, ~0u, 0));
    body();
    ::_exit(testing::Test::HasFailure() ? 1 : 0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  EXPECT_EQ(status, 0);
}

TEST(FdTable, GrowsToTheHardLimit) {
  in_child([] {
    rlimit limit{};
    ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = 256;
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
    const size_t open = count_open_fds();
    const Result<FdLimit> grown = grow_fd_table();
    ASSERT_TRUE(grown);
    EXPECT_EQ(grown->before, 256u);
    EXPECT_EQ(grown->now, std::min<uint64_t>(limit.rlim_max, 1 << 20));
    EXPECT_EQ(count_open_fds(), open);
    // "FDSize: N" is the size of the table itself.
    const Result<std::string> status = sys::read_file("/proc/self/status");
    ASSERT_TRUE(status);
    const size_t at = status->find("FDSize:\t");
    ASSERT_NE(at, std::string::npos);
    EXPECT_GE(std::stoull(status->substr(at + 8)), grown->now);
  });
}

TEST(FdTable, ALimitAboveTheHardOneIsRefused) {
  in_child([] {
    rlimit limit{};
    ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
    const Result<FdLimit> grown = grow_fd_table(limit.rlim_max + 1);
    ASSERT_FALSE(grown);
    EXPECT_EQ(grown.error().code, EINVAL);
    ASSERT_TRUE(grow_fd_table(64));
    ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
    EXPECT_EQ(limit.rlim_cur, 64u);
  });
}

TEST(FdTable, ListsWhatIsOpen) {
  in_child([] {
    const std::vector<BorrowedFd> before = list_open_fds();
    EXPECT_EQ(before.size(), count_open_fds());
    const BorrowedFd above(before.back().get() + 100);
    ASSERT_EQ(::dup2(2, above.get()), above.get());
    const std::vector<BorrowedFd> after = list_open_fds();
    EXPECT_EQ(after.size(), before.size() + 1);
    EXPECT_TRUE(after.back() == above);
    EXPECT_TRUE(std::is_sorted(after.begin(), after.end()));
  });
}

TEST(FdTable, WhatIsSureIsNotAskedFor) {
  in_child([] {
    const std::vector<BorrowedFd> open = list_open_fds();
    EXPECT_TRUE(std::ranges::equal(list_open_fds(open), open)) << "nothing is listed twice";
    EXPECT_TRUE(std::ranges::equal(list_open_fds(std::span(open).last(1)), open));
    const BorrowedFd above(open.back().get() + 100);
    ASSERT_EQ(::dup2(2, above.get()), above.get());
    const BorrowedFd hole(above.get() - 50);
    const std::vector<BorrowedFd> listed = list_open_fds(std::span(&hole, 1));
    EXPECT_TRUE(std::ranges::find(listed, hole) != listed.end());
    EXPECT_TRUE(std::is_sorted(listed.begin(), listed.end()));
  });
}

bool is_open(BorrowedFd fd) {
  return static_cast<bool>(sys::get_fd_flags(fd));
}

// 10,000 (or as many as may be) fds: every third is named, every seventh is adopted.
TEST(FdTable, ClosesOrphansOnly) {
  in_child([] {
    const Result<FdLimit> limit = grow_fd_table();
    ASSERT_TRUE(limit);
    const int most = static_cast<int>(std::min<uint64_t>(10'000, limit->now - 100));
    const int first = 20;
    for (int number = first; number < first + most; ++number) {
      if (number % 11 != 0) {
        ASSERT_EQ(::dup2(2, number), number);
      }
    }
    std::vector<BorrowedFd> named;
    for (int number = 0; number < first + most; number += 3) named.push_back(BorrowedFd(number));
    const uint64_t start = system_clock().now_ns();
    const Result<OrphanCount> count =
        close_orphans(named, BorrowedFd(first), [](BorrowedFd fd) { return fd.get() % 7 == 0; });
    const uint64_t took = system_clock().now_ns() - start;
    ASSERT_TRUE(count);
    printf("close_orphans: %d fds, %zu closed, %llu us\n", most, count->closed,
           static_cast<unsigned long long>(took / 1000));
    size_t closed = 0;
    size_t adopted = 0;
    for (int number = first; number < first + most; ++number) {
      const bool was_open = number % 11 != 0;
      const bool kept = number % 3 == 0 || number % 7 == 0;
      ASSERT_EQ(is_open(BorrowedFd(number)), was_open && kept) << number;
      if (was_open && !kept) ++closed;
      if (was_open && number % 3 != 0 && number % 7 == 0) ++adopted;
    }
    EXPECT_EQ(count->closed, closed);
    EXPECT_EQ(count->adopted, adopted);
    EXPECT_TRUE(is_open(BorrowedFd(2)));
  });
}

TEST(FdTable, WithoutAPredicateAllOrphansAreClosed) {
  in_child([] {
    ASSERT_EQ(::dup2(2, 100), 100);
    ASSERT_EQ(::dup2(2, 101), 101);
    const BorrowedFd named[] = {BorrowedFd(101)};
    ASSERT_TRUE(close_orphans(named, BorrowedFd(50), nullptr));
    EXPECT_FALSE(is_open(BorrowedFd(100)));
    EXPECT_TRUE(is_open(BorrowedFd(101)));
  });
}

}  // namespace
}  // namespace outlive::machine
