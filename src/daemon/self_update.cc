#include "daemon/self_update.h"

#include <unistd.h>

#include "base/log.h"
#include "base/sys.h"
#include "kho/snapshot.h"

namespace outlive::daemon {

using abi::TakeoverState;

namespace {

// A package's upgrade replaces the file that runs: its link then says so.
Result<std::string> own_path() {
  constexpr std::string_view kDeleted = " (deleted)";
  std::string path = TRY(sys::readlink("/proc/self/exe"));
  if (path.ends_with(kDeleted)) path.resize(path.size() - kDeleted.size());
  return path;
}

}  // namespace

Result<UniqueFd> SelfUpdate::open_binary(const std::string& path) const {
  // From here on only this descriptor is used: the file that is rehearsed is the one that runs.
  UniqueFd file = TRY(sys::open(path, O_PATH));
  const struct stat facts = TRY(sys::fstat(file));
  if (!S_ISREG(facts.st_mode)) return fail(EACCES, "{} is no file to execute", path);
  if ((facts.st_mode & 0111) == 0) return fail(EACCES, "{}: Permission denied", path);
  return file;
}

Status SelfUpdate::ask(const wire::RequestId& request, const std::string& path, bool force,
                       bool rehearse) {
  if (parts_.control.keeper_pid() == ::getpid()) {
    return fail(EOPNOTSUPP, "outlived runs with --no-keeper: nobody could execute another one");
  }
  if (takeover_.busy()) return fail(EBUSY, "an update of outlived is going on");
  std::string file = path;
  if (file.empty()) file = TRY(own_path());
  UniqueFd binary = TRY(open_binary(file));
  const struct stat facts = TRY(sys::fstat(binary));
  const uint64_t failures = takeover_.failures_of(facts);
  if (failures >= parts_.config.takeover_tries && !force) {
    return fail(EBUSY, "{} has failed {} times: --force tries it once more", file, failures);
  }
  log_info("update of outlived to {}: rehearsal", file);
  return ask_for(request, std::move(binary), rehearse);
}

Status SelfUpdate::begin_rehearsed(const wire::RequestId& request) {
  if (takeover_.busy()) return fail(EBUSY, "an update of outlived is going on");
  UniqueFd binary = TRY(takeover_.last_binary());
  return ask_for(request, std::move(binary), false);
}

Status SelfUpdate::ask_for(const wire::RequestId& request, UniqueFd binary, bool rehearse) {
  machine::Takeover::Request wanted;
  wanted.id[0] = request.words[0];
  wanted.id[1] = request.words[1];
  wanted.only_rehearse = rehearse;
  wanted.binary = std::move(binary);
  wanted.image = TRY(kho::snapshot(parts_.arena.file()));
  TRY(takeover_.ask(std::move(wanted), parts_.now()));
  takeover_.await_rehearsal();
  return {};
}

bool SelfUpdate::is_current(const wire::RequestId& request) const {
  return takeover_.is_current(request.words);
}

std::optional<abi::TakeoverOutcome> SelfUpdate::outcome_of(const wire::RequestId& request) const {
  return takeover_.outcome_of(request.words);
}

const char* SelfUpdate::step() const {
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
  return std::exchange(seen_, state) != state;
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
