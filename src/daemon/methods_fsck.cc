// Fsck: records, pages and descriptors against each other.
#include <poll.h>

#include <algorithm>

#include "base/sys.h"
#include "daemon/methods.h"
#include "luo/fsck.h"
#include "machine/process/fd_table.h"

namespace outlive::daemon {

using wire::Json;

namespace {

constexpr int kLooks = 20;

std::string describe(BorrowedFd fd) {
  const Result<std::string> target = sys::readlink(fmt::format("/proc/self/fd/{}", fd.get()));
  return target ? *target : std::string("closed by now");
}

// The keeper opens and closes files of the same table while it launches: what is leaked is still
// there at the last look.
void check_fds(Parts& parts, BorrowedFd saved, luo::Findings& findings) {
  luo::Findings found;
  for (int look = 0; look < kLooks; ++look) {
    if (look > 0) ::poll(nullptr, 0, 1);
    found.lines.clear();
    std::vector<BorrowedFd> own = parts.own_fds();
    for (const int stdio : {0, 1, 2}) own.emplace_back(stdio);
    if (saved.valid()) own.push_back(saved);
    std::sort(own.begin(), own.end());
    luo::fsck_fds(parts.core, machine::list_open_fds(), own, describe, found);
    if (found.clean()) return;
  }
  findings.lines.insert(findings.lines.end(), found.lines.begin(), found.lines.end());
}

}  // namespace

Result<std::optional<Json>> Methods::fsck(const luo::Caller& caller, const Json&, Waiting&) {
  if (caller.uid != 0 && caller.uid != geteuid()) {
    return fail(EPERM, "fsck looks at everybody's: it is for root and outlived's own user");
  }
  luo::Findings findings = luo::fsck(
      parts_.core, [](BorrowedFd fd) { return static_cast<bool>(sys::get_fd_flags(fd)); });
  TRY(kho::fsck(parts_.arena.view(), parts_.arena.file(), findings.lines));
  check_fds(parts_, saved_, findings);
  Json lines = Json::array();
  for (const luo::Finding& one : findings.lines) lines.push_back(one.text);
  const LeakLedger& ledger = parts_.corrected;
  return std::optional(Json{{"clean", findings.clean()},
                            {"findings", std::move(lines)},
                            {"pages", findings.pages},
                            {"files", findings.files},
                            {"sessions", findings.sessions},
                            {"fds", findings.fds},
                            {"leaked_corrected", ledger.leaks()},
                            {"ledger",
                             {{"folios", ledger.folios},
                              {"tracker", ledger.tracker},
                              {"pages", ledger.pages},
                              {"records", ledger.records},
                              {"changes", ledger.changes},
                              {"fds", ledger.fds}}}});
}

}  // namespace outlive::daemon
