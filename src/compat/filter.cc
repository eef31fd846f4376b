#include "compat/filter.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <vector>

#ifndef __x86_64__
#error "the filter knows the system call table of x86-64 only"
#endif

namespace outlive::compat {
namespace {

constexpr uint32_t kX32Bit = 0x4000'0000;
constexpr uint32_t kKvmType = 0xAE;
constexpr uint32_t kFirstRealTimeSignal = 32;

constexpr uint32_t kAllow = SECCOMP_RET_ALLOW;
constexpr uint32_t kNotify = SECCOMP_RET_USER_NOTIF;
constexpr uint32_t errno_action(uint32_t code) {
  return SECCOMP_RET_ERRNO | code;
}

// A line of tests after another; each falls through to the next one when it doesn't apply.
class Program {
 public:
  void load(uint32_t offset) { put(BPF_LD | BPF_W | BPF_ABS, offset); }
  // The low half of an argument: flags, commands and descriptors are 32 bits.
  void load_argument(uint32_t n) {
    load(static_cast<uint32_t>(offsetof(seccomp_data, args)) + 8 * n);
  }
  void mask(uint32_t bits) { put(BPF_ALU | BPF_AND | BPF_K, bits); }
  void give(uint32_t action) { put(BPF_RET | BPF_K, action); }
  void give_if_equal(uint32_t value, uint32_t action) {
    jump(BPF_JEQ, value, 0, 1);
    give(action);
  }
  void give_unless_equal(uint32_t value, uint32_t action) {
    jump(BPF_JEQ, value, 1, 0);
    give(action);
  }
  void give_if_at_least(uint32_t value, uint32_t action) {
    jump(BPF_JGE, value, 0, 1);
    give(action);
  }
  void give_if_any(uint32_t bits, uint32_t action) {
    jump(BPF_JSET, bits, 0, 1);
    give(action);
  }
  // Where the number is `call`, `lines` decides; it must end in give().
  template <typename Lines>
  void where(long call, Lines lines) {
    const size_t at = code_.size();
    jump(BPF_JEQ, static_cast<uint32_t>(call), 0, 0);
    lines();
    code_[at].jf = static_cast<uint8_t>(code_.size() - at - 1);
  }
  std::vector<sock_filter>& code() { return code_; }

 private:
  void put(int code, uint32_t k) { code_.push_back({static_cast<uint16_t>(code), 0, 0, k}); }
  void jump(int test, uint32_t k, uint8_t yes, uint8_t no) {
    code_.push_back({static_cast<uint16_t>(BPF_JMP | test | BPF_K), yes, no, k});
  }
  std::vector<sock_filter> code_;
};

constexpr long kAlwaysSeen[] = {
    __NR_openat2, __NR_access,   __NR_faccessat,  __NR_faccessat2,     __NR_stat,
    __NR_lstat,   __NR_readlink, __NR_getxattr,   __NR_lgetxattr,      __NR_creat,
    __NR_connect, __NR_reboot,   __NR_kexec_load, __NR_kexec_file_load};

void see_open(Program& p, long call, uint32_t flags_argument) {
  p.where(call, [&] {
    p.load_argument(flags_argument);
    p.give_if_any(O_DIRECTORY, kAllow);
    p.give(kNotify);
  });
}

// By path from the working directory, or following links: see filter.h.
void see_stat(Program& p, long call, uint32_t flags_argument) {
  p.where(call, [&] {
    p.load_argument(0);
    p.give_if_equal(static_cast<uint32_t>(AT_FDCWD), kNotify);
    p.load_argument(flags_argument);
    p.give_if_any(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, kAllow);
    p.give(kNotify);
  });
}

void see_ioctl(Program& p) {
  p.where(__NR_ioctl, [&] {
    p.load_argument(1);
    for (const uint32_t generic : {FIOCLEX, FIONCLEX, FIONBIO}) p.give_if_equal(generic, kAllow);
    p.mask(0xff00);
    p.give_if_equal(kKvmType << 8, kAllow);
    p.give(kNotify);
  });
}

void guard_init(Program& p, long call) {
  p.where(call, [&] {
    p.load_argument(0);
    p.give_unless_equal(1, kAllow);
    p.load_argument(1);
    p.give_if_at_least(kFirstRealTimeSignal, errno_action(EPERM));
    p.give(kAllow);
  });
}

Program make_program() {
  Program p;
  p.load(offsetof(seccomp_data, arch));
  p.give_unless_equal(AUDIT_ARCH_X86_64, SECCOMP_RET_KILL_PROCESS);
  p.load(offsetof(seccomp_data, nr));
  p.give_if_at_least(kX32Bit, errno_action(ENOSYS));
  p.give_if_equal(__NR_io_uring_setup, errno_action(ENOSYS));
  for (const long call : kAlwaysSeen) p.give_if_equal(static_cast<uint32_t>(call), kNotify);
  see_open(p, __NR_open, 1);
  see_open(p, __NR_openat, 2);
  see_stat(p, __NR_newfstatat, 3);
  see_stat(p, __NR_statx, 2);
  p.where(__NR_readlinkat, [&] {
    p.load_argument(0);
    p.give_if_equal(static_cast<uint32_t>(AT_FDCWD), kNotify);
    p.give(kAllow);
  });
  see_ioctl(p);
  guard_init(p, __NR_kill);
  guard_init(p, __NR_rt_sigqueueinfo);
  p.give(kAllow);
  return p;
}

}  // namespace

Result<UniqueFd> install_filter() {
  Program program = make_program();
  const sock_fprog bpf = {static_cast<unsigned short>(program.code().size()),
                          program.code().data()};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return fail_errno("no new privileges");
  const long listener =
      syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER,
              SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, &bpf);
  if (listener < 0) return fail_errno("seccomp filter");
  return UniqueFd(static_cast<int>(listener));
}

}  // namespace outlive::compat
