// A participant's side of updates: which callback an event runs, and how it is answered.
//
// Events are idempotent: outlived repeats one when its worker died before the answer was stored.
// The same (update, step) is answered again from what is remembered; its callback runs once.
//
//   the old one:  prepare -> READY|VETO, freeze -> READY|VETO, cancel | retire
//   the new one:  preview -> READY|VETO (if it looks ahead), adopt -> READY|VETO, committed
#pragma once

#include <deque>
#include <optional>
#include <string>

#include "abi/wire.h"
#include "base/result.h"
#include "client/hurry.h"
#include "client/regions.h"
#include "outlive/outlive.h"

namespace outlive::client {

// What to tell outlived about an event; `code` 0 is READY.
struct Answer {
  int code = 0;
  std::string reason;
};

class Participation {
 public:
  // `regions` outlives this.
  explicit Participation(Regions& regions) : regions_(&regions) {}

  // Copies the structure by the size rule: EINVAL smaller, E2BIG larger and unknown bytes set.
  Status set_callbacks(const outlive_participant& participant);
  const outlive_participant& callbacks() const { return callbacks_; }

  // Runs what the event asks for, unless it has run. nullopt: it wants no answer. `kernel`: of an
  // update of the kernel (abi::kFlagKernel).
  std::optional<Answer> handle(const abi::EventBody& event, bool kernel = false);
  // Adopt and committed at once, for a restarted one.
  Status adopt_restarted();
  Hurry& hurry() { return hurry_; }
  void set_reason(std::string reason) { reason_ = std::move(reason); }

 private:
  struct Done {
    uint64_t update;
    abi::Step step;
    Answer answer;
  };
  using Asked = int (*)(void*, const outlive_event*);
  using Told = void (*)(void*, const outlive_event*);

  const Done* find(uint64_t update, abi::Step step) const;
  void remember(uint64_t update, abi::Step step, Answer answer);
  Answer ask(Asked callback, const outlive_event& event, abi::Step step);
  void tell(Told callback, const outlive_event& event);
  void commit(const outlive_event& event);
  std::optional<Answer> handle_question(const outlive_event& event, abi::Step step);

  Regions* regions_;
  outlive_participant callbacks_{};
  std::deque<Done> done_;
  Hurry hurry_;
  std::string reason_;
};

}  // namespace outlive::client
