#include "daemon/self_update.h"

#include <unistd.h>

namespace outlive::daemon {

using abi::TakeoverState;

Status SelfUpdate::ask(const wire::RequestId& request, const std::string& path, bool force,
                       bool rehearse) {
  return asker_.ask({request, path, force, parts_.config.takeover_tries, rehearse});
}

Status SelfUpdate::begin_rehearsed(const wire::RequestId& request) {
  if (busy()) return fail(EBUSY, "an update of outlived is going on");
  UniqueFd binary = TRY(takeover_.last_binary());
  NewBinary wanted;
  wanted.request = request;
  return asker_.ask_for_open(std::move(binary), wanted);
}

bool SelfUpdate::is_current(const wire::RequestId& request) const {
  return asker_.looks_for(request) || takeover_.is_current(request.words);
}

std::optional<abi::TakeoverOutcome> SelfUpdate::outcome_of(const wire::RequestId& request) const {
  return takeover_.outcome_of(request.words);
}

const char* SelfUpdate::step() const {
  if (asker_.is_looking()) return "rehearsal";
  switch (takeover_.state()) {
    case TakeoverState::kAsked:
    case TakeoverState::kRehearsing:
      return "rehearsal";
    case TakeoverState::kStopping:
      return "stop";
    case TakeoverState::kExecd:
      return "exec";
    default:
      return "ready";
  }
}

bool SelfUpdate::tick() {
  takeover_.close_leftovers(parts_.now(), keep_binary_);
  const uint64_t state = machine::load_word(takeover_.block().state);
  const bool opened = asker_.take_news();
  if (std::exchange(seen_, state) == state) return opened;
  // Whoever executes the next binary waits for its death: it shall not begin only then.
  if (takeover_.state() == TakeoverState::kRehearsing) parts_.closer.rest();
  return true;
}

bool SelfUpdate::may_leave() const {
  if (!takeover_.wants_stop() || takeover_.goes_back() || !parts_.launches.idle()) return false;
  bool updating = false;
  parts_.core.services().for_each([&](abi::ServiceSlot& service) {
    luo::Updates& updates = parts_.core.updates();
    // What waits for this is carried on by the next worker.
    const bool waits = updates.awaits_outlived(service);
    updating = updating || (luo::in_progress(updates.state(service)) && !waits);
  });
  return !updating;
}

void SelfUpdate::leave() {
  // No destructor may run: they close what has to cross.
  if (takeover_.stopped(parts_.clock.now_ns())) ::_exit(machine::kHandoverCode);
}

}  // namespace outlive::daemon
