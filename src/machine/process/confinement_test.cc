// A worker that has gone over to the enemy: what it tries, and what becomes of it.
#include "machine/process/confinement.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "base/sys.h"

namespace outlive::machine {
namespace {

constexpr int kWentWell = 0;

// What became of a process: -SIGNAL, or its exit code, which is an errno here.
int outcome_of(const std::function<int()>& intruder, const Confinement& confinement) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    static_cast<void>(confinement.apply());
    ::_exit(intruder());
  }
  int status = 0;
  EXPECT_EQ(::waitpid(pid, &status, 0), pid);
  return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

int code_of(long result) {
  return result == -1 ? errno : kWentWell;
}

int try_open(const std::string& path, int flags) {
  return code_of(::open(path.c_str(), flags | O_CLOEXEC, 0600));
}

class ConfinementTest : public testing::Test {
 protected:
  ConfinementTest() {
    char name[] = "/tmp/oconfXXXXXX";
    folder_ = ::mkdtemp(name);
    std::filesystem::create_directory(folder_ + "/in");
    std::filesystem::create_directory(folder_ + "/read");
    EXPECT_TRUE(sys::write_file(folder_ + "/read/file", "text", 0644));
    EXPECT_TRUE(sys::write_file(folder_ + "/outside", "text", 0644));
    confinement_ = Confinement::prepare({{folder_ + "/read"}, {folder_ + "/in"}}).take();
  }
  ~ConfinementTest() override { std::filesystem::remove_all(folder_); }

  int outcome(const std::function<int()>& intruder) { return outcome_of(intruder, confinement_); }
  bool has_landlock() {
    const auto asks = [&] { return confinement_.apply().landlock != 0 ? 1 : 0; };
    return outcome_of(asks, Confinement::off("it does it itself")) == 1;
  }

  std::string folder_;
  Confinement confinement_ = Confinement::off("not yet");
};

TEST_F(ConfinementTest, WhatOnlyAnIntruderCallsKills) {
  EXPECT_EQ(outcome([] {
              char* words[] = {const_cast<char*>("/bin/true"), nullptr};
              return code_of(::execve(words[0], words, nullptr));
            }),
            -SIGSYS);
  for (const long call : {SYS_ptrace, SYS_bpf, SYS_mount, SYS_unshare, SYS_setns, SYS_keyctl,
                          SYS_userfaultfd, SYS_io_uring_setup, SYS_process_vm_readv, SYS_setuid,
                          SYS_kexec_load, SYS_init_module, SYS_pidfd_getfd, SYS_capset}) {
    EXPECT_EQ(outcome([&] { return code_of(::syscall(call, 0, 0, 0, 0, 0, 0)); }), -SIGSYS) << call;
  }
}

TEST_F(ConfinementTest, WhatIsUnknownIsMissing) {
  constexpr long kNoSuchCall = 999;
  EXPECT_EQ(outcome([] { return code_of(::syscall(kNoSuchCall)); }), ENOSYS);
  EXPECT_EQ(outcome([] { return code_of(::syscall(SYS_clone3, nullptr, 0)); }), ENOSYS);
  EXPECT_EQ(outcome([] { return code_of(::syscall(SYS_vmsplice, 0, nullptr, 0, 0)); }), ENOSYS);
  const unsigned long namespaces = CLONE_NEWUSER | SIGCHLD;
  EXPECT_EQ(outcome([&] { return code_of(::syscall(SYS_clone, namespaces, 0, 0, 0, 0)); }), ENOSYS);
  const auto code = [] {
    return ::mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
                   MAP_FAILED
               ? errno
               : kWentWell;
  };
  EXPECT_EQ(outcome(code), ENOSYS);
}

TEST_F(ConfinementTest, WhatTheWorkerDoesGoesOn) {
  EXPECT_EQ(outcome([] { return try_open("/proc/self/stat", O_RDONLY); }), kWentWell);
  EXPECT_EQ(outcome([] { return try_open("/proc/1/stat", O_RDONLY); }), kWentWell);
  EXPECT_EQ(outcome([&] { return try_open(folder_ + "/read/file", O_RDONLY); }), kWentWell);
  EXPECT_EQ(outcome([&] { return try_open(folder_ + "/in/new", O_WRONLY | O_CREAT); }), kWentWell);
  EXPECT_EQ(outcome([&] { return code_of(::unlink((folder_ + "/in/new").c_str())); }), kWentWell);
  EXPECT_EQ(outcome([] { return code_of(::memfd_create("m", MFD_CLOEXEC)); }), kWentWell);
  EXPECT_EQ(outcome([] {
              const long pid = ::syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
              if (pid == 0) ::_exit(0);
              int status = 1;
              return ::waitpid(static_cast<pid_t>(pid), &status, 0) == pid ? status : errno;
            }),
            kWentWell);
}

TEST_F(ConfinementTest, FilesOutsideAreForbidden) {
  if (!has_landlock()) GTEST_SKIP() << "no Landlock in this kernel";
  EXPECT_EQ(outcome([] { return try_open("/etc/passwd", O_RDONLY); }), EACCES);
  EXPECT_EQ(outcome([&] { return try_open(folder_ + "/outside", O_RDONLY); }), EACCES);
  EXPECT_EQ(outcome([&] { return try_open(folder_ + "/read/file", O_WRONLY); }), EACCES);
  EXPECT_EQ(outcome([&] { return try_open(folder_ + "/more", O_WRONLY | O_CREAT); }), EACCES);
  EXPECT_EQ(outcome([&] { return code_of(::unlink((folder_ + "/outside").c_str())); }), EACCES);
}

TEST_F(ConfinementTest, RootKeepsFiveCapabilities) {
  // As the kernel says it, in a process that has done it.
  const auto in_force = [&] {
    const Confined confined = confinement_.apply();
    const Result<std::string> status = sys::read_file("/proc/self/status");
    if (!status || !confined.seccomp || !confined.no_new_privileges) return 1;
    const auto value = [&](const char* key, int base) {
      return std::stoull(status->substr(status->find(key) + strlen(key)), nullptr, base);
    };
    if (value("Seccomp:", 10) != 2 || value("NoNewPrivs:", 10) != 1) return 2;
    if ((value("CapPrm:", 16) & ~kept_capabilities()) != 0) return 3;
    if ((value("CapEff:", 16) & ~kept_capabilities()) != 0) return 4;
    const uint64_t wanted = ::geteuid() == 0 ? value("CapBnd:", 16) & kept_capabilities() : 0;
    return value("CapEff:", 16) == wanted ? 0 : 5;
  };
  const Confinement nothing = Confinement::off("this test does it itself");
  EXPECT_EQ(outcome_of(in_force, nothing), 0);
}

TEST_F(ConfinementTest, SaysWhatIsInForce) {
  EXPECT_EQ(Confinement::off("[worker] confine = false").apply().text(),
            "off: [worker] confine = false");
  Confined confined;
  confined.seccomp = confined.no_new_privileges = true;
  confined.why_not = "Landlock: Function not implemented";
  EXPECT_EQ(confined.text(),
            "seccomp, no new privileges; not all: Landlock: Function not implemented");
}

}  // namespace
}  // namespace outlive::machine
