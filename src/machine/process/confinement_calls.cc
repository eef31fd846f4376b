#include "machine/process/confinement_calls.h"

#include <errno.h>
#include <linux/sockios.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <memory>
#include <span>

#include "abi/liveupdate.h"
#include "base/sys.h"

namespace outlive::machine {
namespace {

// By name: some are not on every architecture, and libseccomp knows which.
constexpr const char* kAllowed[] = {
    // bytes and descriptors
    "read", "write", "readv", "writev", "pread64", "pwrite64", "preadv", "pwritev", "lseek",
    "close", "close_range", "dup", "dup2", "dup3", "fcntl", "flock", "pipe", "pipe2", "sendfile",
    "copy_file_range", "ftruncate", "fallocate", "fsync", "fdatasync", "sync", "syncfs",
    "memfd_create",
    // names and facts of files
    "open", "openat", "access", "faccessat", "faccessat2", "stat", "lstat", "fstat", "newfstatat",
    "statx", "statfs", "fstatfs", "readlink", "readlinkat", "getdents64", "getcwd", "mkdir",
    "mkdirat", "unlink", "unlinkat", "rename", "renameat", "renameat2", "chmod", "fchmod",
    "fchmodat", "chown", "fchown", "lchown", "fchownat", "umask", "utimensat",
    // memory
    "munmap", "mremap", "madvise", "mincore", "msync", "brk", "mlock", "munlock",
    // waiting
    "poll", "ppoll", "select", "pselect6", "epoll_create", "epoll_create1", "epoll_ctl",
    "epoll_wait", "epoll_pwait", "epoll_pwait2", "eventfd2", "timerfd_create", "timerfd_settime",
    "timerfd_gettime", "signalfd4", "nanosleep", "clock_nanosleep", "futex", "restart_syscall",
    // sockets
    "socket", "socketpair", "bind", "listen", "accept", "accept4", "connect", "getsockname",
    "getpeername", "setsockopt", "getsockopt", "sendto", "recvfrom", "sendmsg", "recvmsg",
    "sendmmsg", "recvmmsg", "shutdown",
    // processes, of which it starts only its closer (clone: see below)
    "exit", "exit_group", "wait4", "waitid", "kill", "tkill", "tgkill", "pidfd_open",
    "pidfd_send_signal", "prctl", "arch_prctl", "set_tid_address", "set_robust_list",
    "get_robust_list", "rseq", "membarrier", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn",
    "rt_sigpending", "rt_sigtimedwait", "rt_sigqueueinfo", "rt_sigsuspend", "sigaltstack", "pause",
    "alarm", "setitimer", "getitimer", "sched_yield", "sched_getaffinity", "sched_setaffinity",
    "sched_getattr", "sched_setattr", "sched_getparam", "sched_getscheduler", "getpriority",
    "setpriority", "getcpu",
    // who am I, what time is it, how much is there
    "getpid", "getppid", "gettid", "getuid", "geteuid", "getgid", "getegid", "getgroups",
    "getresuid", "getresgid", "getpgid", "getpgrp", "getsid", "capget", "getrlimit", "setrlimit",
    "prlimit64", "getrusage", "sysinfo", "uname", "times", "time", "gettimeofday", "clock_gettime",
    "clock_getres", "getrandom"};

// No version of outlived's worker has a use for them.
constexpr const char* kKills[] = {"execve",
                                  "execveat",
                                  "ptrace",
                                  "process_vm_readv",
                                  "process_vm_writev",
                                  "pidfd_getfd",
                                  "kcmp",
                                  "mount",
                                  "umount2",
                                  "move_mount",
                                  "open_tree",
                                  "fsopen",
                                  "fsmount",
                                  "fsconfig",
                                  "fspick",
                                  "mount_setattr",
                                  "pivot_root",
                                  "chroot",
                                  "setns",
                                  "unshare",
                                  "bpf",
                                  "perf_event_open",
                                  "init_module",
                                  "finit_module",
                                  "delete_module",
                                  "kexec_load",
                                  "kexec_file_load",
                                  "reboot",
                                  "keyctl",
                                  "add_key",
                                  "request_key",
                                  "userfaultfd",
                                  "io_uring_setup",
                                  "io_uring_enter",
                                  "io_uring_register",
                                  "open_by_handle_at",
                                  "iopl",
                                  "ioperm",
                                  "modify_ldt",
                                  "personality",
                                  "acct",
                                  "swapon",
                                  "swapoff",
                                  "syslog",
                                  "quotactl",
                                  "settimeofday",
                                  "clock_settime",
                                  "clock_adjtime",
                                  "adjtimex",
                                  "sethostname",
                                  "setdomainname",
                                  "mknod",
                                  "mknodat",
                                  "fanotify_init",
                                  "setuid",
                                  "setgid",
                                  "setreuid",
                                  "setregid",
                                  "setresuid",
                                  "setresgid",
                                  "setgroups",
                                  "setfsuid",
                                  "setfsgid",
                                  "capset",
                                  "uselib",
                                  "vhangup",
                                  "lookup_dcookie",
                                  "nfsservctl"};

// What is asked of a descriptor: queues, its mode, and the kernel's own live update and pidfds.
constexpr unsigned long kIoctls[] = {FIONREAD, SIOCOUTQ, FIONBIO, FIOCLEX, FIONCLEX, TCGETS};
constexpr scmp_datum_t kTypeMask = 0xff00;
constexpr scmp_datum_t kTypePidfd = 0xff00;
constexpr scmp_datum_t kTypeLiveupdate = scmp_datum_t{abi::kLiveUpdateIoctlType} << 8;
constexpr scmp_datum_t kNewNamespaces = CLONE_NEWNS | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET |
                                        CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;

struct Release {
  void operator()(void* context) const { seccomp_release(context); }
};

class Filter {
 public:
  Filter() : context_(seccomp_init(SCMP_ACT_ERRNO(ENOSYS))) {}
  bool valid() const { return context_ != nullptr; }
  void attribute(scmp_filter_attr name, uint32_t value) {
    note(seccomp_attr_set(context_.get(), name, value));
  }
  // Calls that this architecture doesn't have are left out.
  void rule(uint32_t action, const char* call, std::initializer_list<scmp_arg_cmp> tests = {}) {
    const int number = seccomp_syscall_resolve_name(call);
    if (number < 0) return;
    note(seccomp_rule_add_array(context_.get(), action, number, static_cast<unsigned>(tests.size()),
                                std::data(tests)));
  }
  Result<std::vector<sock_filter>> compile() {
    if (failed_ != 0) return fail(-failed_, "seccomp: the filter can't be made");
    const UniqueFd file = TRY(sys::memfd_create("filter", MFD_CLOEXEC));
    if (const int code = seccomp_export_bpf(context_.get(), file.get()); code != 0) {
      return fail(-code, "seccomp: the filter can't be compiled");
    }
    const struct stat facts = TRY(sys::fstat(file));
    std::vector<sock_filter> program(static_cast<size_t>(facts.st_size) / sizeof(sock_filter));
    const ssize_t got =
        ::pread(file.get(), program.data(), program.size() * sizeof(sock_filter), 0);
    if (got != facts.st_size) return fail_errno("seccomp: the compiled filter");
    return program;
  }

 private:
  void note(int code) {
    if (code != 0 && failed_ == 0) failed_ = code;
  }
  std::unique_ptr<void, Release> context_;
  int failed_ = 0;
};

}  // namespace

Result<std::vector<sock_filter>> compile_call_filter() {
  Filter filter;
  if (!filter.valid()) return fail(EOPNOTSUPP, "seccomp: this architecture isn't known");
  // A tree instead of a line of 200 comparisons.
  filter.attribute(SCMP_FLTATR_CTL_OPTIMIZE, 2);
  filter.attribute(SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
  for (const char* call : kAllowed) filter.rule(SCMP_ACT_ALLOW, call);
  for (const char* call : kKills) filter.rule(SCMP_ACT_KILL_PROCESS, call);
  for (const unsigned long command : kIoctls) {
    filter.rule(SCMP_ACT_ALLOW, "ioctl", {SCMP_A1_32(SCMP_CMP_EQ, static_cast<uint32_t>(command))});
  }
  for (const scmp_datum_t type : {kTypePidfd, kTypeLiveupdate}) {
    filter.rule(SCMP_ACT_ALLOW, "ioctl", {SCMP_A1(SCMP_CMP_MASKED_EQ, kTypeMask, type)});
  }
  // No new code in this process.
  for (const char* call : {"mmap", "mprotect"}) {
    filter.rule(SCMP_ACT_ALLOW, call, {SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)});
  }
  filter.rule(SCMP_ACT_ALLOW, "clone", {SCMP_A0(SCMP_CMP_MASKED_EQ, kNewNamespaces, 0)});
  return filter.compile();
}

}  // namespace outlive::machine
