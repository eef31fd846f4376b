// The worker's part in outlived's own replacement (machine/process/takeover.h): has the binary
// looked up, makes the copy of the arena that the rehearsal works on (new_binary.h), leaves when it
// is time, and knows what became of which request.
//
// Happy path:   begin -> (rehearsal) -> may_leave: the worker leaves -> (exec) -> the next worker,
//               of the new binary, finds the outcome by the request's id
// Unhappy path: whatever goes wrong, this worker or another one of the old binary finds the
//               outcome, with the reason. Threads: one; nothing here waits.
#pragma once

#include <optional>
#include <string>

#include "daemon/new_binary.h"
#include "daemon/parts.h"
#include "machine/process/takeover.h"
#include "wire/varlink.h"

namespace outlive::daemon {

class SelfUpdate {
 public:
  explicit SelfUpdate(Parts& parts)
      : parts_(parts),
        takeover_(parts.control),
        asker_(parts.control, parts.opener, parts.arena.file()) {}

  // `path` empty: the file that runs now, by its name; `force`: also one that has failed too often.
  // EOPNOTSUPP: without a keeper; EBUSY: one is going on. Then it is current, until there is an
  // outcome, or a failure_of(): what is wrong with the file.
  Status begin(const wire::RequestId& request, const std::string& path, bool force) {
    return ask(request, path, force, false);
  }
  // The same, but it ends with the rehearsal: for who must know before others depend on it. Until
  // keep_binary(false) the file stays open, also over deaths of the worker.
  Status rehearse(const wire::RequestId& request, const std::string& path, bool force) {
    return ask(request, path, force, true);
  }
  // Replaces outlived by the file that was rehearsed last. EBUSY: later; ENOENT: it isn't open.
  Status begin_rehearsed(const wire::RequestId& request);
  void keep_binary(bool keep) { keep_binary_ = keep; }
  bool busy() const { return asker_.is_looking() || takeover_.busy(); }
  // Why it has not begun after all.
  const Error* failure_of(const wire::RequestId& request) const {
    return asker_.failure_of(request);
  }
  // This worker is of the binary that this request brought, and there is no way back.
  bool has_committed(const wire::RequestId& request) const {
    return is_current(request) && takeover_.state() == abi::TakeoverState::kCommitted;
  }
  // The file that begin_rehearsed() would take is the one of this rehearsal.
  bool holds_binary_of(const abi::TakeoverOutcome& rehearsal) const {
    return rehearsal.number == takeover_.number() && takeover_.block().binary_fd >= 0;
  }
  bool is_current(const wire::RequestId& request) const;
  std::optional<abi::TakeoverOutcome> outcome_of(const wire::RequestId& request) const;
  // "rehearsal", "stop", "exec", "ready".
  const char* step() const;
  // Once a turn. True: there is news.
  bool tick();
  // The keeper wants this worker to leave, and nothing is half done.
  bool may_leave() const;
  // Ends the process, with every descriptor open; or returns, because it was given up.
  void leave();
  const machine::Takeover& takeover() const { return takeover_; }

 private:
  Status ask(const wire::RequestId& request, const std::string& path, bool force, bool rehearse);

  Parts& parts_;
  machine::Takeover takeover_;
  BinaryAsker asker_;
  uint64_t seen_ = ~uint64_t{0};  // state word at the last tick
  bool keep_binary_ = false;
};

}  // namespace outlive::daemon
