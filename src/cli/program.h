// Another program, run to its end.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace outlive::cli {

struct ProgramEnd {
  int code;         // its exit code; a signal: 128 and its number
  std::string out;  // what it wrote to its standard output
};

// Found in PATH. Its standard error is ours, its standard input empty; no signal is blocked in it,
// whatever is in us. ENOENT: there is none. Blocks.
Result<ProgramEnd> run_program(const std::vector<std::string>& words);

}  // namespace outlive::cli
