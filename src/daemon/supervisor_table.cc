// After a start from the service manager's fd store: whose processes still run?
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include <cmath>

#include "base/log.h"
#include "base/sys.h"
#include "daemon/notify.h"
#include "daemon/supervisor.h"

namespace outlive::daemon {
namespace {

// A pid may be somebody else's by now: then it didn't start when the record says so. The kernel
// counts in ticks of CLOCK_BOOTTIME, the record in ns of CLOCK_MONOTONIC. (The environment would
// say for sure, but a confined worker may not read it.)
bool started_at(int64_t pid, uint64_t start_ns) {
  const Result<std::string> stat = sys::read_file(fmt::format("/proc/{}/stat", pid), 4096);
  const size_t end = stat ? stat->rfind(')') : std::string::npos;
  unsigned long long ticks = 0;  // proc(5): field 22; the state after COMM is field 3
  if (end == std::string::npos ||
      sscanf(stat->c_str() + end + 1,
             " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
             &ticks) != 1) {
    return false;
  }
  timespec boot{};
  timespec monotonic{};
  ::clock_gettime(CLOCK_BOOTTIME, &boot);
  ::clock_gettime(CLOCK_MONOTONIC, &monotonic);
  const double asleep = static_cast<double>(boot.tv_sec - monotonic.tv_sec) +
                        static_cast<double>(boot.tv_nsec - monotonic.tv_nsec) / 1e9;
  const double started =
      static_cast<double>(ticks) / static_cast<double>(::sysconf(_SC_CLK_TCK)) - asleep;
  return std::abs(started - static_cast<double>(start_ns) / 1e9) < 2.0;
}

}  // namespace

std::vector<int64_t> Supervisor::take_on_processes() {
  std::vector<int64_t> gone;
  if (machine::load_word(parts_->control.block().table_epoch) == 0) return gone;
  const auto look = [&](abi::ProcessWords& words, uint64_t uid) {
    if (words.pid == 0 || parts_->control.child(static_cast<pid_t>(words.pid))) return;
    const Status taken = take_on_process(words, uid);
    if (taken) {
      log_info("pid {}: runs on, and is taken on", words.pid);
      return;
    }
    log_info("pid {}: {}", words.pid, taken.error().message);
    gone.push_back(words.pid);
  };
  std::vector<std::pair<abi::ProcessWords*, uint64_t>> all;
  parts_->core.services().for_each(
      [&](abi::ServiceSlot& service) { all.emplace_back(&service.current, service.uid); });
  parts_->records().for_each<abi::UpdateSlot>([&](abi::UpdateSlot& update) {
    const auto* service = parts_->core.services().at(update.service);
    const uint64_t uid = service != nullptr ? service->uid : ::geteuid();
    all.emplace_back(&update.successor, uid);
    all.emplace_back(&update.old, uid);
  });
  for (const auto& [words, uid] : all) look(*words, uid);
  return gone;
}

Status Supervisor::take_on_process(abi::ProcessWords& words, uint64_t uid) {
  const auto pid = static_cast<pid_t>(words.pid);
  UniqueFd pidfd = TRY(sys::pidfd_open(pid));
  // Looked at after the pidfd is open: from here on the number can't become another process.
  if (!started_at(words.pid, words.start_ns)) return fail(ESRCH, "runs no more");
  const Status stale = sys::unlink(notify_->path(words.instance));
  static_cast<void>(stale);
  UniqueFd notify = TRY(notify_->make(words.instance, uid));
  luo::Change change(parts_->records());
  change.set(words.notify_fd, int64_t{notify.release()});
  change.set(words.pidfd, int64_t{pidfd.get()});
  change.commit();
  return parts_->control.take_on_child(pid, std::move(pidfd));
}

}  // namespace outlive::daemon
