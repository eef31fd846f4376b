#include "machine/process/priority.h"

#include <errno.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>

#include "base/sys.h"

namespace outlive::machine {
namespace {
// Of this process: the worker writes it, its children have a copy.
int before = 0;
bool ahead = false;

constexpr const char* kAutogroup = "/proc/self/autogroup";
}  // namespace

void let_session_go_ahead() {
  if (::getsid(0) != ::getpid()) return;  // others are in it: a shell and what it runs
  // sched(7): "/autogroup-NUMBER nice VALUE"; nothing where it is switched off.
  const Result<std::string> text = sys::read_file(kAutogroup);
  int now = 0;
  if (!text || sscanf(text->c_str(), "/autogroup-%*u nice %d", &now) != 1) return;
  const Result<UniqueFd> file = sys::open(kAutogroup, O_WRONLY);
  if (!file) return;
  const std::string ahead_of_it = std::to_string(std::max(now - kAheadNice, -20));
  static_cast<void>(sys::write_all(*file, ahead_of_it));  // EPERM: as it is
}

void go_ahead() {
  errno = 0;
  before = ::getpriority(PRIO_PROCESS, 0);
  if (errno != 0) return;
  ahead = ::setpriority(PRIO_PROCESS, 0, std::max(before - kAheadNice, -20)) == 0;
}

void step_back() {
  if (ahead) static_cast<void>(::setpriority(PRIO_PROCESS, 0, before));
}

}  // namespace outlive::machine
