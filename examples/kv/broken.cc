#include "broken.h"

#include <signal.h>
#include <unistd.h>

#include <cstring>

namespace kv {

bool parse_broken(std::string_view name, Broken* broken) {
  constexpr struct {
    std::string_view name;
    Broken value;
  } kNames[] = {{"", Broken::kNo},
                {"crash-at-start", Broken::kCrashAtStart},
                {"never-ready", Broken::kNeverReady},
                {"veto", Broken::kVeto},
                {"die-after-retrieve", Broken::kDieAfterRetrieve},
                {"garbage", Broken::kGarbage}};
  for (const auto& known : kNames) {
    if (known.name != name) continue;
    *broken = known.value;
    return true;
  }
  return false;
}

void break_at_start(Broken broken) {
  if (broken == Broken::kCrashAtStart) _exit(1);
}

bool break_in_adopt(Broken broken, const Heap& heap) {
  if (broken == Broken::kDieAfterRetrieve) kill(getpid(), SIGKILL);
  if (broken == Broken::kGarbage) {
    // The view before commit is read-only: the first byte is the end of this process.
    memset(outlive_memory_base(heap.memory()), 0xdb, outlive_memory_size(heap.memory()));
    kill(getpid(), SIGKILL);
  }
  return broken == Broken::kVeto;
}

}  // namespace kv
