#include "machine/process/reaper.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

#include <algorithm>

#include "base/log.h"
#include "base/sys.h"

namespace outlive::machine {
namespace {

// How long after its end an adopted child's parent (init) may take to reap it; only then the kernel
// tells its exit code.
constexpr uint64_t kExitCodeWaitNs = 500'000'000;
constexpr int kExitCodePollMs = 10;

// linux/pidfd.h of 6.15, which Debian 12's headers are too old for.
struct PidfdInfo {
  uint64_t mask;
  uint64_t cgroupid;
  uint32_t pid, tgid, ppid;
  uint32_t ruid, rgid, euid, egid, suid, sgid, fsuid, fsgid;
  int32_t exit_code;
};
static_assert(sizeof(PidfdInfo) == 64);
constexpr uint64_t kPidfdInfoExit = 1u << 3;
constexpr unsigned long kPidfdGetInfo = _IOWR(0xFF, 11, PidfdInfo);

ChildExit exit_of_status(pid_t pid, int status) {
  if (WIFEXITED(status)) return {pid, CLD_EXITED, WEXITSTATUS(status)};
  return {pid, WCOREDUMP(status) ? CLD_DUMPED : CLD_KILLED, WTERMSIG(status)};
}

}  // namespace

std::optional<ChildExit> exit_of_pidfd(pid_t pid, BorrowedFd pidfd) {
  PidfdInfo info{};
  info.mask = kPidfdInfoExit;
  if (::ioctl(pidfd.get(), kPidfdGetInfo, &info) != 0) return std::nullopt;
  if ((info.mask & kPidfdInfoExit) == 0) return std::nullopt;
  return exit_of_status(pid, info.exit_code);
}

std::optional<ChildExit> exit_of_zombie(pid_t pid) {
  const Result<std::string> text = sys::read_file(fmt::format("/proc/{}/stat", pid));
  // proc(5): "PID (COMM) STATE ... EXIT_CODE", the last of its fields.
  const size_t end = text ? text->rfind(')') : std::string::npos;
  const size_t last = text ? text->rfind(' ') : std::string::npos;
  if (end == std::string::npos || text->size() < end + 3 || (*text)[end + 2] != 'Z') {
    return std::nullopt;
  }
  return exit_of_status(pid, static_cast<int>(strtol(text->c_str() + last, nullptr, 10)));
}

void Reaper::adopt() {
  adopted_.clear();  // of the dead keeper, as of our clone
  for (const abi::ChildEntry& entry : control_.block().children) {
    const auto pid = static_cast<pid_t>(load_word(entry.pid));
    // An exit that was half written is written whole by the next look at the child.
    const uint64_t slot = load_word(entry.exit_slot);
    const bool reported = slot != 0 && slot <= load_word(control_.block().exit_head);
    if (pid == 0 || reported) continue;
    adopted_.push_back({pid, BorrowedFd(static_cast<int>(entry.pidfd)), 0});
  }
}

void Reaper::look_for_taken_on() {
  const uint64_t now = load_word(control_.block().children_taken_on);
  if (std::exchange(taken_on_, now) == now) return;
  for (const abi::ChildEntry& entry : control_.block().children) {
    const auto pid = static_cast<pid_t>(load_word(entry.pid));
    if (pid == 0 || entry.launch != 0 || load_word(entry.exit_slot) != 0) continue;
    const bool known = std::any_of(adopted_.begin(), adopted_.end(),
                                   [pid](const Adopted& child) { return child.pid == pid; });
    if (!known) adopted_.push_back({pid, BorrowedFd(static_cast<int>(entry.pidfd)), 0});
  }
}

void Reaper::turn(uint64_t now_ns) {
  look_for_taken_on();
  turn_adopted(now_ns);
  for (;;) {
    siginfo_t info{};
    // WNOWAIT: look first, report, and only then reap.
    if (::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0) return;
    const pid_t pid = info.si_pid;
    // Not ours to reap: the keeper's next turn does, SIGCHLD is on its way.
    if (pid == control_.worker_pid() || pid == control_.spare_pid() ||
        pid == control_.rehearsal_pid()) {
      return;
    }
    if (abi::ChildEntry* entry = control_.find_entry(pid)) {
      control_.push_exit(*entry, {pid, info.si_code, info.si_status});
    }
    ::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG);
  }
}

int Reaper::add_waits(std::vector<pollfd>* waits, int timeout_ms) const {
  for (const Adopted& child : adopted_) {
    if (child.ended_ns == 0) {
      waits->push_back({child.pidfd.get(), POLLIN, 0});
    } else {
      timeout_ms = std::min(timeout_ms, kExitCodePollMs);
    }
  }
  return timeout_ms;
}

void Reaper::turn_adopted(uint64_t now_ns) {
  std::erase_if(adopted_, [&](Adopted& child) { return report_adopted(child, now_ns); });
}

bool Reaper::report_adopted(Adopted& child, uint64_t now_ns) {
  pollfd wait{child.pidfd.get(), POLLIN, 0};
  if (child.ended_ns == 0 && ::poll(&wait, 1, 0) != 1) return false;
  if (child.ended_ns == 0) child.ended_ns = now_ns;
  std::optional<ChildExit> exit = exit_of_pidfd(child.pid, child.pidfd);
  if (!exit) {
    if (now_ns - child.ended_ns < kExitCodeWaitNs) return false;
    exit = ChildExit{child.pid, 0, 0};
  }
  // By pid and pidfd: find_entry() passes over one whose exit was half written.
  for (abi::ChildEntry& entry : control_.block().children) {
    if (load_word(entry.pid) == child.pid && entry.pidfd == child.pidfd.get()) {
      control_.push_exit(entry, *exit);
    }
  }
  return true;
}

}  // namespace outlive::machine
