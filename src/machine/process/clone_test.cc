#include "machine/process/clone.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/sys.h"
#include "machine/process/test_machine.h"

namespace outlive::machine {
namespace {

TEST(Clone, SharesTheTable) {
  SharedMemory<int> opened;
  int32_t pidfd = -1;
  const Result<pid_t> pid = clone_files(&pidfd);
  ASSERT_TRUE(pid);
  if (*pid == 0) {
    *opened = ::dup(2);
    ::_exit(7);
  }
  const UniqueFd owned(pidfd);
  siginfo_t info{};
  ASSERT_EQ(::waitid(P_PIDFD, static_cast<id_t>(pidfd), &info, WEXITED), 0);
  EXPECT_EQ(info.si_pid, *pid);
  EXPECT_EQ(info.si_status, 7);
  const UniqueFd there(*opened);
  EXPECT_TRUE(sys::get_fd_flags(there)) << "an fd opened by the child is open here";
}

// glibc's idea of the thread id: an error-checking mutex knows its owner by it.
TEST(Clone, TheChildKnowsItsThreadId) {
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK);
  pthread_mutex_t mutex;
  pthread_mutex_init(&mutex, &attributes);
  int32_t pidfd = -1;
  const Result<pid_t> pid = clone_files(&pidfd);
  ASSERT_TRUE(pid);
  if (*pid == 0) {
    pthread_mutex_lock(&mutex);
    // The owner field holds glibc's thread id (nptl/pthreadtypes: __data.__owner).
    ::_exit(mutex.__data.__owner == ::syscall(SYS_gettid) ? 0 : 1);
  }
  const UniqueFd owned(pidfd);
  siginfo_t info{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(*pid), &info, WEXITED), 0);
  EXPECT_EQ(info.si_code, CLD_EXITED);
  EXPECT_EQ(info.si_status, 0);
  pthread_mutex_destroy(&mutex);
  pthread_mutexattr_destroy(&attributes);
}

TEST(Clone, DieWithParentLeavesWhenTheParentIsAnother) {
  int32_t pidfd = -1;
  const Result<pid_t> pid = clone_files(&pidfd);
  ASSERT_TRUE(pid);
  if (*pid == 0) {
    die_with_parent(1);
    ::_exit(0);
  }
  const UniqueFd owned(pidfd);
  siginfo_t info{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(*pid), &info, WEXITED), 0);
  EXPECT_EQ(info.si_status, 75);
}

}  // namespace
}  // namespace outlive::machine
