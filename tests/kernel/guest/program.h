// Runs one program to its end, and hands on what it says while it runs.
#pragma once

#include <span>
#include <string>

#include "channel.h"

namespace outlive::guest {

// Stdout and stderr of `words` go to the channel as `out`, its end as `exit` or `signal`. What the
// program leaves behind (a child that holds a session) lives on; it must have closed its output,
// for the pipe ends with the program. An error of this function means that it didn't start.
Status run_program(std::span<const std::string> words, Channel& channel);

// The same without waiting: words[0] is where its output goes, a file; the rest is the program. It
// lives on beside all that is run later.
Status start_program(std::span<const std::string> words, Channel& channel);

}  // namespace outlive::guest
