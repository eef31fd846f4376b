#include "luo/state.h"

#include "base/log.h"

namespace outlive::luo {

const char* name_of(State state) {
  switch (state) {
    case State::kUndefined:
      return "undefined";
    case State::kNormal:
      return "normal";
    case State::kPrepared:
      return "prepared";
    case State::kFrozen:
      return "frozen";
    case State::kUpdated:
      return "updated";
  }
  return "invalid";
}

const char* name_of(Event event) {
  switch (event) {
    case Event::kStartEmpty:
      return "start_empty";
    case Event::kStartIncoming:
      return "start_incoming";
    case Event::kPrepare:
      return "prepare";
    case Event::kFreeze:
      return "freeze";
    case Event::kCommit:
      return "commit";
    case Event::kFinish:
      return "finish";
    case Event::kCancel:
      return "cancel";
  }
  return "invalid";
}

const char* name_of(Scope scope) {
  switch (scope) {
    case Scope::kService:
      return "service";
    case Scope::kDaemon:
      return "daemon";
    case Scope::kHost:
      return "host";
    case Scope::kKernel:
      return "kernel";
  }
  return "invalid";
}

Result<State> next(State state, Event event) {
  switch (event) {
    case Event::kStartEmpty:
      if (state == State::kUndefined) return State::kNormal;
      break;
    case Event::kStartIncoming:
      if (state == State::kUndefined) return State::kUpdated;
      break;
    case Event::kPrepare:
      if (state == State::kNormal) return State::kPrepared;
      break;
    case Event::kFreeze:
      if (state == State::kPrepared) return State::kFrozen;
      break;
    case Event::kCommit:
      if (state == State::kFrozen) return State::kUpdated;
      break;
    case Event::kFinish:
      if (state == State::kUpdated) return State::kNormal;
      break;
    case Event::kCancel:
      if (state == State::kPrepared || state == State::kFrozen) return State::kNormal;
      break;
  }
  return fail(EINVAL, "event [{}] is not allowed in [{}] state", name_of(event), name_of(state));
}

Status transition(State& state, Event event, std::string_view whose) {
  const Result<State> to = next(state, event);
  if (!to) {
    log_warning("{}: {}", whose, to.error().message);
    return to.error();
  }
  log_info("{}: Switched from [{}] to [{}] state", whose, name_of(state), name_of(*to));
  state = *to;
  return {};
}

}  // namespace outlive::luo
