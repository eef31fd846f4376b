// Finds the control socket of outlived and connects to it.
#pragma once

#include <string>

#include "wire/varlink_client.h"

namespace outlive::cli {

// `runtime_dir` empty: the default places. ENOTCONN: nobody answers; the text lists the paths that
// were tried and the remedy. EACCES: there is one, and it isn't for us.
Result<wire::VarlinkClient> connect_control(const std::string& runtime_dir);

}  // namespace outlive::cli
