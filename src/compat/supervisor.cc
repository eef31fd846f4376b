#include "compat/supervisor.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/sys.h"

namespace outlive::compat {
namespace {

Result<UniqueFd> watch_children() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  UniqueFd fd(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd) return fail_errno("signalfd");
  return fd;
}

}  // namespace

Status Supervisor::run() {
  const UniqueFd children = TRY(watch_children());
  const Link::Reply hello = TRY(link_.ask(abi::CompatRequest::kLook));
  kernel_ = static_cast<Kernel>(hello.answer.kernel);
  wake_in_step(listener_);
  pollfd fds[] = {
      {listener_.get(), POLLIN, 0}, {children.get(), POLLIN, 0}, {reports_.get(), 0, 0}};
  while (reap(WNOHANG)) {
  }
  for (;;) {
    fds[2].fd = reports_.get();  // -1 when there is nothing left to report
    if (poll(fds, 3, -1) < 0 && errno != EINTR) return fail_errno("poll");
    if (fds[2].fd >= 0 && (fds[2].revents & POLLHUP) && program_ != 0) abandon();
    if (fds[0].revents & POLLIN) {
      serve();
    } else if (fds[0].revents & (POLLHUP | POLLERR)) {
      // Nobody is left, but some may still be on their way out. All are our descendants.
      while (reap(0)) {
      }
      return {};
    }
    if (fds[1].revents & POLLIN) {
      signalfd_siginfo info;
      while (::read(children.get(), &info, sizeof info) > 0) {
      }
      while (reap(WNOHANG)) {
      }
    }
  }
}

// One that has ended, also of those that were left to us.
bool Supervisor::reap(int flags) {
  int status = 0;
  const pid_t pid = waitpid(-1, &status, flags);
  if (pid == program_) {
    const Status told = sys::write_all(
        reports_, std::string_view(reinterpret_cast<const char*>(&status), sizeof status));
    static_cast<void>(told);  // nobody waits: so be it
    reports_.reset();
    program_ = 0;
  }
  return pid > 0;
}

// Whoever waited for the program was killed: as if it had been the program itself.
void Supervisor::abandon() {
  reports_.reset();
  const Status killed = sys::kill(program_, SIGKILL);
  static_cast<void>(killed);
}

void Supervisor::serve() {
  const Result<Notification> call = Notification::receive(listener_);
  if (call) answer(*call);
}

void Supervisor::answer(const Notification& call) {
  const auto fd = [&](size_t n) { return static_cast<int>(call.argument32(n)); };
  const auto at = [&](size_t n) { return call.argument(n); };
  switch (call.number()) {
    case __NR_open:
      return open(call, AT_FDCWD, at(0), at(1));
    case __NR_creat:
      return open(call, AT_FDCWD, at(0), O_CREAT | O_WRONLY | O_TRUNC);
    case __NR_openat:
      return open(call, fd(0), at(1), at(2));
    case __NR_openat2:
      return open2(call);
    case __NR_stat:
    case __NR_lstat:
      return status(call, AT_FDCWD, at(0), at(1), false);
    case __NR_newfstatat:
      return status(call, fd(0), at(1), at(2), false);
    case __NR_statx:
      return status(call, fd(0), at(1), at(4), true);
    case __NR_access:
      return access(call, AT_FDCWD, at(0), at(1));
    case __NR_faccessat:
    case __NR_faccessat2:
      return access(call, fd(0), at(1), at(2));
    case __NR_readlink:
      return read_link(call, AT_FDCWD, at(0));
    case __NR_readlinkat:
      return read_link(call, fd(0), at(1));
    case __NR_getxattr:
    case __NR_lgetxattr:
      return get_attribute(call, at(0));
    case __NR_ioctl:
      return ioctl(call);
    case __NR_connect:
      return connect(call);
    case __NR_reboot:
      return reboot(call);
    case __NR_kexec_file_load:
      return load_kernel(call);
    case __NR_kexec_load:
      return call.refuse(EPERM);  // it can't hand anything over; kexec_file_load can
    default:
      return call.let_through();
  }
}

}  // namespace outlive::compat
