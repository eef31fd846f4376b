#include "base/time_slice.h"

#include <errno.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace outlive {
namespace {

// linux/sched/types.h, which can't be included beside glibc's sched.h: its first version.
struct SchedAttr {
  uint32_t size = sizeof(SchedAttr);
  uint32_t policy = 0;
  uint64_t flags = 0;
  int32_t nice = 0;
  uint32_t priority = 0;
  uint64_t runtime = 0;
  uint64_t deadline = 0;
  uint64_t period = 0;
};
static_assert(sizeof(SchedAttr) == 48);

Result<SchedAttr> get() {
  SchedAttr attr;
  if (::syscall(SYS_sched_getattr, 0, &attr, sizeof attr, 0) != 0) {
    return fail_errno("sched_getattr");
  }
  if (attr.policy != SCHED_OTHER && attr.policy != SCHED_BATCH) {
    return fail(EINVAL, "scheduling policy {} has no time slices", attr.policy);
  }
  return attr;
}

}  // namespace

Status set_time_slice(uint64_t ns) {
  SchedAttr attr = TRY(get());
  attr.runtime = ns;
  if (::syscall(SYS_sched_setattr, 0, &attr, 0) != 0) return fail_errno("sched_setattr");
  return {};
}

Result<uint64_t> time_slice() {
  const SchedAttr attr = TRY(get());
  return attr.runtime;
}

}  // namespace outlive
