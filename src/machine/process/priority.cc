#include "machine/process/priority.h"

#include <errno.h>
#include <sys/resource.h>

#include <algorithm>

namespace outlive::machine {
namespace {
// Of this process: the worker writes it, its children have a copy.
int before = 0;
bool ahead = false;
}  // namespace

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
