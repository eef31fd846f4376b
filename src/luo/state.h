// The state machine of a scope, one enum and one pure function.
//
//   undefined -> normal (start_empty)      undefined -> updated (start_incoming)
//   normal --prepare--> prepared --freeze--> frozen --commit--> updated --finish--> normal
//   prepared, frozen --cancel--> normal
//
// Every other pair is EINVAL: a warning in the log, nothing changed. Nobody else keeps a state
// machine: sessions have a direction, files have a status.
#pragma once

#include <cstdint>

#include "base/result.h"

namespace outlive::luo {

enum class State : uint64_t {
  kUndefined = 0,
  kNormal = 1,
  kPrepared = 2,
  kFrozen = 3,
  kUpdated = 4
};
enum class Event { kStartEmpty, kStartIncoming, kPrepare, kFreeze, kCommit, kFinish, kCancel };
// What an update replaces.
enum class Scope : uint64_t { kService = 1, kDaemon = 2, kHost = 3, kKernel = 4 };

inline constexpr State kStates[] = {State::kUndefined, State::kNormal, State::kPrepared,
                                    State::kFrozen, State::kUpdated};
inline constexpr Event kEvents[] = {Event::kStartEmpty, Event::kStartIncoming, Event::kPrepare,
                                    Event::kFreeze,     Event::kCommit,        Event::kFinish,
                                    Event::kCancel};

// Names as in the design, lower case; used in logs, on the wire and on screens.
const char* name_of(State state);
const char* name_of(Event event);
const char* name_of(Scope scope);

// The state after `event`; EINVAL when `state` doesn't allow it.
Result<State> next(State state, Event event);

// Logs "Switched from [normal] to [prepared] state" and sets `state`; EINVAL: warns, unchanged.
Status transition(State& state, Event event, std::string_view whose);

constexpr bool is_normal(State state) {
  return state == State::kNormal;
}
constexpr bool in_progress(State state) {
  return state == State::kPrepared || state == State::kFrozen || state == State::kUpdated;
}

}  // namespace outlive::luo
