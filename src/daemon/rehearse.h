// `outlived --rehearse`: whether this binary could take over from the one that runs. It is started
// by that one's keeper, with copies of its descriptors and of its arena, and may only look: fstat
// and fdinfo, no read, no seek, no change of flags.
//
//   attach the copy of the arena -> every record's descriptor is open and what the record says
//   -> one line into the pipe (abi/takeover.h)
#pragma once

#include <string>

#include "daemon/options.h"

namespace outlive::daemon {

// `words`: "IMAGE,RESULT,NONCE". Answers into the pipe; the exit code.
int rehearse(const std::string& words, const Result<LoadedConfig>& config);

}  // namespace outlive::daemon
