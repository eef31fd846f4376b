// From here no UniqueFd is made or destroyed but for fds of the child's own table, and nothing
// returns: every end is _exit.
#include "machine/process/launch_child.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "base/log.h"
#include "base/sys.h"
#include "base/time_slice.h"
#include "machine/process/opener_child.h"

namespace outlive::machine {
namespace {

// Descriptors of the child's own table, all CLOEXEC.
struct ChildFds {
  BorrowedFd gate;
  BorrowedFd program;
};

[[noreturn]] void leave(std::string_view what, int code) {
  const std::string line = fmt::format("outlive: {}: {}\n", what, strerror(code));
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
  ::_exit(code == EACCES ? 126 : 127);
}

BorrowedFd copy_above(BorrowedFd fd, int lowest) {
  const int number = ::fcntl(fd.get(), F_DUPFD_CLOEXEC, lowest);
  if (number == -1) leave("fds of the service", errno);
  return BorrowedFd(number);
}

// A table of our own in which the plan's fds have their target numbers, 0 to 2 are open, and
// everything else is closed.
ChildFds leave_table(const LaunchPlan& plan, const LaunchWindow& window) {
  set_log_role("launched");
  if (!sys::close_range(static_cast<unsigned>(window.end().get()), ~0u, CLOSE_RANGE_UNSHARE)) {
    ::_exit(127);  // stderr is still the keeper's
  }
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t told =
      ::write(window.at(LaunchWindow::kUnshared).get(), &one, sizeof one);

  // Up, out of the way of any target, and then down.
  int above = window.end().get();
  for (const int target : plan.targets) above = std::max(above, target + 1);
  ChildFds fds;
  std::vector<BorrowedFd> high;
  for (size_t i = 0; i < plan.targets.size(); ++i) high.push_back(copy_above(window.at(i), above));
  const BorrowedFd null = copy_above(window.at(LaunchWindow::kNull), above);
  fds.gate = copy_above(window.at(LaunchWindow::kGate), above);
  if (plan.has_program_fd) fds.program = copy_above(window.at(LaunchWindow::kProgram), above);
  static_cast<void>(sys::close_range(0, static_cast<unsigned>(above) - 1, 0));
  for (int stdio = 0; stdio <= 2; ++stdio) static_cast<void>(::dup3(null.get(), stdio, 0));
  for (size_t i = 0; i < high.size(); ++i) {
    if (::dup3(high[i].get(), plan.targets[i], 0) == -1) leave("fds of the service", errno);
  }
  return fds;
}

void wait_at_gate(BorrowedFd gate) {
  std::byte one{};
  const Result<size_t> count = sys::read(gate, {&one, 1});
  if (!count || *count != 1) ::_exit(kGateClosedCode);
}

// signal(2) of glibc refuses the two signals that its threads use (32 and 33), but whoever started
// outlived may have left them ignored; the kernel's own call takes them all.
void default_signals() {
  constexpr size_t kSetBytes = 8;  // of the kernel's sigset_t, on every architecture but MIPS
  struct {
    void (*handler)(int);
    unsigned long flags;
    void (*restorer)();
    unsigned char mask[kSetBytes];
  } action{SIG_DFL, 0, nullptr, {}};
  for (int signal = 1; signal < NSIG; ++signal) {
    ::syscall(SYS_rt_sigaction, signal, &action, nullptr, kSetBytes);
  }
}

// Nothing of the keeper's ways is inherited.
void reset_process(const LaunchPlan& plan) {
  ::setsid();
  default_signals();
  static_cast<void>(set_time_slice(kDefaultTimeSlice));  // EINVAL: another policy, kept
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  if (!plan.opens) ::umask(022);
  const UniqueFd oom(::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC));
  if (oom) static_cast<void>(sys::write_all(oom, "0"));  // not allowed to everyone
  rlimit files{};
  if (plan.soft_nofile != 0 && ::getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = std::min<rlim_t>(plan.soft_nofile, files.rlim_max);
    ::setrlimit(RLIMIT_NOFILE, &files);
  }
}

// initgroups(3) from the files alone: a static program can't load other name services.
std::vector<gid_t> groups_of(uid_t uid, gid_t gid) {
  std::vector<gid_t> groups{gid};
  std::string name;
  if (FILE* file = ::fopen("/etc/passwd", "re")) {
    while (const passwd* user = ::fgetpwent(file)) {
      if (user->pw_uid == uid) {
        name = user->pw_name;
        break;
      }
    }
    ::fclose(file);
  }
  FILE* file = name.empty() ? nullptr : ::fopen("/etc/group", "re");
  if (file == nullptr) return groups;
  while (const group* one = ::fgetgrent(file)) {
    for (char** member = one->gr_mem; *member != nullptr; ++member) {
      if (name == *member && one->gr_gid != gid) groups.push_back(one->gr_gid);
    }
  }
  ::fclose(file);
  return groups;
}

void become_user(const LaunchPlan& plan) {
  if (plan.uid != ::geteuid()) {
    const std::vector<gid_t> groups = groups_of(plan.uid, plan.gid);
    if (::setgroups(groups.size(), groups.data()) != 0) leave("setgroups", errno);
  }
  if (plan.gid != ::getegid() && ::setresgid(plan.gid, plan.gid, plan.gid) != 0) {
    leave("setgid", errno);
  }
  if (plan.uid != ::geteuid() && ::setresuid(plan.uid, plan.uid, plan.uid) != 0) {
    leave("setuid", errno);
  }
}

// sd_listen_fds(3) takes LISTEN_FDS only together with its own pid.
std::vector<std::string> final_environment(const LaunchPlan& plan) {
  std::vector<std::string> env;
  bool listens = false;
  for (const std::string& one : plan.env) {
    listens = listens || one.starts_with("LISTEN_FDS=");
    if (!one.starts_with("LISTEN_PID=")) env.push_back(one);
  }
  if (listens) env.push_back(fmt::format("LISTEN_PID={}", ::getpid()));
  return env;
}

std::vector<char*> pointers(const std::vector<std::string>& strings) {
  std::vector<char*> list;
  for (const std::string& one : strings) list.push_back(const_cast<char*>(one.c_str()));
  list.push_back(nullptr);
  return list;
}

// A script's interpreter opens it by name: /dev/fd/N if it was executed as an fd, which must then
// stay open in the service. So a script goes by its path, if the path still names this very file.
bool goes_by_path(const LaunchPlan& plan, BorrowedFd program) {
  char start[2] = {};
  if (::pread(program.get(), start, 2, 0) != 2 || start[0] != '#' || start[1] != '!') return false;
  struct stat by_fd {};
  struct stat by_path {};
  if (::fstat(program.get(), &by_fd) == 0 && ::stat(plan.program.c_str(), &by_path) == 0 &&
      by_fd.st_dev == by_path.st_dev && by_fd.st_ino == by_path.st_ino) {
    return true;
  }
  static_cast<void>(sys::set_cloexec(program, false));
  return false;
}

[[noreturn]] void execute(const LaunchPlan& plan, BorrowedFd program) {
  const std::vector<std::string> env = final_environment(plan);
  const std::vector<char*> env_pointers = pointers(env);
  const std::vector<char*> argv = pointers(plan.argv);
  if (program.valid() && !goes_by_path(plan, program)) {
    ::syscall(SYS_execveat, program.get(), "", argv.data(), env_pointers.data(), AT_EMPTY_PATH);
  } else {
    environ = const_cast<char**>(env_pointers.data());  // execvp searches the PATH of environ
    ::execvp(plan.program.c_str(), argv.data());
  }
  leave(fmt::format("can't execute {}", plan.program), errno);
}

}  // namespace

void run_launched_child(const LaunchPlan& plan, const LaunchWindow& window) {
  const ChildFds fds = leave_table(plan, window);
  wait_at_gate(fds.gate);
  reset_process(plan);
  become_user(plan);
  if (plan.opens) open_for_worker(plan);
  if (::chdir(plan.cwd.c_str()) != 0) leave(plan.cwd, errno);
  execute(plan, fds.program);
}

}  // namespace outlive::machine
