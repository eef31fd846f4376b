// What a service is launched with, from the words of the command line and the caller's
// surroundings.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace outlive::cli {

// The words with the program as an absolute path: looked up in $PATH when it has no '/'. ENOENT,
// EACCES name it.
Result<std::vector<std::string>> launch_argv(std::vector<std::string> words);
// The caller's environment without what belongs to the caller alone (NOTIFY_SOCKET, LISTEN_*,
// OUTLIVE_*), with `extra` ("NAME=VALUE") over it. `clean`: only `extra` and PATH.
Result<std::vector<std::string>> launch_environment(const std::vector<std::string>& extra,
                                                    bool clean);
Result<std::string> working_directory();
// "[NAME=]tcp:HOST:PORT", "[NAME=]udp:HOST:PORT", "[NAME=]unix:PATH" (made absolute) or
// "[NAME=]HOST:PORT" (tcp) as the interface wants it. EINVAL says what is wrong with it.
Result<std::string> listen_address(const std::string& text);

}  // namespace outlive::cli
