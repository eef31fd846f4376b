// Runs a program and says, a line each, what it asks outlived for ("asks begin"), which requests it
// makes of the kernel's live update ("preserve", a file) and when it calls reboot(2) ("reboot"),
// which fails with EIO: watch PID LOG TEXT PROGRAM [ARG...]. Before it fails, that process is
// killed, and LOG has got a line with TEXT.
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <string>
#include <utility>

#include "abi/liveupdate.h"
#include "base/sys.h"

namespace {

using namespace outlive;

constexpr int kTries = 6000;

std::string text_at(pid_t pid, unsigned long long address, size_t size) {
  std::string text;
  while (text.size() < std::min<size_t>(size, 4096)) {
    errno = 0;
    const long word = ::ptrace(PTRACE_PEEKDATA, pid, address + text.size(), nullptr);
    if (errno != 0) break;
    text.append(reinterpret_cast<const char*>(&word), sizeof word);
  }
  return text.substr(0, size);
}

void say_what(pid_t pid, const user_regs_struct& call) {
  if (call.orig_rax == SYS_ioctl &&
      (call.rsi & 0xffff) == (abi::kLiveUpdateIoctlType << 8 | abi::kIoctlPreserveFd)) {
    puts("preserve");
  }
  if (call.orig_rax != SYS_sendto) return;
  const std::string text = text_at(pid, call.rsi, call.rdx);
  for (const char* action : {"look", "begin", "check", "cancel"}) {
    if (text.find(std::string("\"action\":\"") + action) != text.npos) printf("asks %s\n", action);
  }
}

// False: nobody has said it.
bool kill_and_await(pid_t pid, const char* log, const char* text) {
  ::kill(pid, SIGKILL);
  for (int i = 0; i < kTries; ++i) {
    const Result<std::string> said = sys::read_file(log);
    if (said && said->find(text) != said->npos) return true;
    ::usleep(10'000);  // between two looks
  }
  return false;
}

int watch(pid_t pid, char** words) {
  int status = 0;
  ::waitpid(pid, &status, 0);
  ::ptrace(PTRACE_SETOPTIONS, pid, nullptr, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
  bool enters = true;
  bool refused = false;
  for (int signal = 0;;) {
    ::ptrace(PTRACE_SYSCALL, pid, nullptr, signal);
    if (::waitpid(pid, &status, 0) != pid) return 1;
    if (WIFEXITED(status)) return WEXITSTATUS(status);
    if (WIFSIGNALED(status)) return 128 + WTERMSIG(status);
    signal =
        WSTOPSIG(status) == (SIGTRAP | 0x80) || WSTOPSIG(status) == SIGTRAP ? 0 : WSTOPSIG(status);
    if (WSTOPSIG(status) != (SIGTRAP | 0x80)) continue;
    user_regs_struct call{};
    ::ptrace(PTRACE_GETREGS, pid, nullptr, &call);
    if (enters) say_what(pid, call);
    if (enters && call.orig_rax == SYS_reboot) {
      puts("reboot");
      if (!kill_and_await(::atoi(words[1]), words[2], words[3])) puts("nobody has said it");
      call.orig_rax = static_cast<unsigned long long>(-1);
      ::ptrace(PTRACE_SETREGS, pid, nullptr, &call);
      refused = true;
    } else if (!enters && std::exchange(refused, false)) {
      call.rax = static_cast<unsigned long long>(-EIO);
      ::ptrace(PTRACE_SETREGS, pid, nullptr, &call);
    }
    enters = !enters;
  }
}

}  // namespace

int main(int count, char** words) {
  if (count < 5) return 2;
  setlinebuf(stdout);
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
    ::execv(words[4], words + 4);
    ::_exit(127);
  }
  return watch(pid, words);
}
