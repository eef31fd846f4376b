// survey: every open file of any process, what kind it is and how it would cross each scope, for
// `outlive plan --pid PID`. The process needs to know nothing of us and isn't touched.
//
// Needs the right to read /proc/PID/fd: the same uid, or root. Not for the worker: it opens files
// by path, which may wait for a network file system.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <vector>

#include "base/result.h"
#include "files/survival.h"
#include "luo/file_handler.h"

namespace outlive::files {

struct SurveyedFile {
  uint32_t number = 0;  // in the table of that process
  luo::FileFacts facts;
  std::array<Crossing, kScopes.size()> crossings;  // in the order of kScopes
};

// In the order of the numbers. Files that are opened or closed meanwhile may be there or not.
// EINVAL: no pid. ESRCH: no such process, or it has ended. EPERM: another user's.
Result<std::vector<SurveyedFile>> survey(pid_t pid);

}  // namespace outlive::files
