// Fsck: the records against the pages, and the fd table against the records.
#include <algorithm>
#include <set>

#include "base/sys.h"
#include "daemon/methods.h"
#include "kho/dump.h"
#include "luo/fsck.h"

namespace outlive::daemon {

using wire::Json;

Result<std::optional<Json>> Methods::fsck(const luo::Caller& caller, const Json&, Waiting&) {
  if (caller.uid != 0 && caller.uid != geteuid()) {
    return fail(EPERM, "fsck looks at everybody's: it is for root and outlived's own user");
  }
  luo::Findings findings = luo::fsck(
      parts_.core, [](BorrowedFd fd) { return static_cast<bool>(sys::get_fd_flags(fd)); });
  const kho::ArenaDump dump = TRY(kho::dump(parts_.arena.view(), false));
  if (dump.tracker_difference != 0) {
    findings.lines.push_back(
        fmt::format("tracker: {} keys differ from the page descriptors", dump.tracker_difference));
  }
  return std::optional(Json{{"clean", findings.lines.empty()},
                            {"findings", findings.lines},
                            {"pages", findings.pages},
                            {"files", findings.files},
                            {"sessions", findings.sessions},
                            {"leaked_corrected", parts_.leaks_corrected}});
}

}  // namespace outlive::daemon
