// The bad versions: what a successor may do wrong, on purpose. Each must end in a rollback that no
// client notices (tests/demo). Nothing here is a model of anything.
#pragma once

#include <string_view>

#include "heap.h"

namespace kv {

enum class Broken {
  kNo,
  kCrashAtStart,      // exits at once
  kNeverReady,        // never says that it is ready
  kVeto,              // says no in adopt
  kDieAfterRetrieve,  // SIGKILL after it has everything, before it is ready
  kGarbage,           // scribbles over the memory that it was only to look at
};

// "" is kNo. False: no such way to break.
bool parse_broken(std::string_view name, Broken* broken);
// At the start of main.
void break_at_start(Broken broken);
// In adopt, when all is retrieved. True: refuse.
bool break_in_adopt(Broken broken, const Heap& heap);

}  // namespace kv
