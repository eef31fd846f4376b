// --faults: what nobody can have of a real kernel when it is wanted.
//
//   preserve:N=ERRNO   the N-th PRESERVE_FD from here on fails (0: every one)
//   retrieve:N=EIO     the N-th RETRIEVE_FD whose token is known; sticky, as any failed retrieve
//   freeze:N=ERRNO     the N-th file to be frozen refuses: the reboot fails, nothing has changed
//   incoming=corrupt   open says EIO: what was handed over can't be read
//   device=absent      there is no /dev/liveupdate: ENOENT
//
// Joined by commas; "none" takes all of them back.
#pragma once

#include <string_view>

#include "base/result.h"

namespace outlive::compat {

struct Faults {
  bool corrupt = false;
  bool absent = false;
  std::string points;  // for arm_faults (base/fault.h)
};

// EINVAL says which part can't be read.
Result<Faults> parse_faults(std::string_view text);

}  // namespace outlive::compat
