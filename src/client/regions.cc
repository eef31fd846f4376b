#include "client/regions.h"

#include <vector>

namespace outlive::client {

std::shared_ptr<void> Regions::add(Memory& memory) {
  memory.hold_writes(writes_held_);
  memory.forbid_growth(growth_forbidden_);
  all_.push_back(&memory);
  return std::shared_ptr<void>(&memory, [self = shared_from_this()](void* gone) {
    std::erase(self->all_, static_cast<Memory*>(gone));
  });
}

void Regions::hold_writes(bool held) {
  writes_held_ = held;
  for (Memory* memory : all_) memory->hold_writes(held);
}

void Regions::forbid_growth(bool forbidden) {
  growth_forbidden_ = forbidden;
  for (Memory* memory : all_) memory->forbid_growth(forbidden);
}

}  // namespace outlive::client
