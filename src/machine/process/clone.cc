#include "machine/process/clone.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fault.h"

namespace outlive::machine {

Result<pid_t> clone_files(int32_t* pidfd) {
  if (const int code = fault("machine.clone")) return fail(code, "clone: injected");
  // glibc keeps the thread's id in its thread descriptor, and only its own fork() corrects it in
  // the child. The kernel knows the place (it was registered at the thread's start) and writes it.
  // Without CONFIG_CHECKPOINT_RESTORE it doesn't tell: the id stays the parent's, which matters
  // only to recursive and error-checking mutexes and to raise().
  pid_t* tid_address = nullptr;
  unsigned long flags = CLONE_FILES | CLONE_PIDFD | SIGCHLD;
  if (::prctl(PR_GET_TID_ADDRESS, &tid_address) == 0 && tid_address != nullptr) {
    flags |= CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID;
  }
#if defined(__x86_64__)
  const long pid = ::syscall(SYS_clone, flags, nullptr, pidfd, tid_address, nullptr);
#elif defined(__aarch64__)
  const long pid = ::syscall(SYS_clone, flags, nullptr, pidfd, nullptr, tid_address);
#else
#error "clone(2) has its arguments in another order here: look them up in clone(2)"
#endif
  if (pid == -1) return fail_errno("clone");
  return static_cast<pid_t>(pid);
}

void die_with_parent(pid_t parent) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(75);  // it died before the line above
}

}  // namespace outlive::machine
