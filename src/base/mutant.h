// Planted bugs, to see that the tests catch them: `make mutants` (tests/mutants/).
//
//   if (!mutant("reply-before-record")) record_reply(...);
//
// They exist only in a build with OUTLIVE_MUTANTS (CMake option, build/mutants): there the one that
// the environment's OUTLIVE_MUTANT names is on. In every other build mutant() is a constant false
// and nothing of it is left in the program.
#pragma once

#ifdef OUTLIVE_MUTANTS
#include <stdlib.h>
#include <string.h>
#endif

namespace outlive {

#ifdef OUTLIVE_MUTANTS
inline bool mutant(const char* name) {
  static const char* const planted = getenv("OUTLIVE_MUTANT");
  return planted != nullptr && strcmp(planted, name) == 0;
}
#else
constexpr bool mutant(const char*) {
  return false;
}
#endif

}  // namespace outlive
