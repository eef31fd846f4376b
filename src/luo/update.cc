#include "luo/update.h"

#include "base/fault.h"
#include "base/log.h"
#include "base/mutant.h"
#include "luo/arena_quota.h"
#include "luo/finish_check.h"

namespace outlive::luo {

using abi::Step;
using abi::UpdateStep;

namespace {
constexpr abi::ProcessWords kNoProcess{0, -1, 0, 0, -1, -1};
}

// ---- the steps, in order ----

Result<abi::UpdateSlot*> Updates::begin(abi::ServiceSlot& service, const Options& options) {
  TRY(may_begin(service));
  TRY(plan(service));
  TRY(make_room(service, options.spec.size()));
  const kho::Phys spec = TRY(services_.make_blob(options.spec).context("launch specification"));
  Change change(*context_.records);
  Result<abi::UpdateSlot*> made = change.add<abi::UpdateSlot>();
  if (!made) {
    services_.free_blob(spec.value);
    return made.error();
  }
  abi::UpdateSlot& slot = **made;
  slot.service = services_.address_of(service);
  slot.scope = static_cast<uint64_t>(Scope::kService);
  slot.step = static_cast<uint64_t>(UpdateStep::kPlan);
  slot.state = static_cast<uint64_t>(State::kNormal);
  slot.from_generation = service.generation;
  slot.successor = kNoProcess;
  slot.old = kNoProcess;
  slot.spec = spec.value;
  slot.spec_size = options.spec.size();
  slot.request_id[0] = options.request_id[0];
  slot.request_id[1] = options.request_id[1];
  slot.flags = options.flags;
  slot.ready_ns = options.ready_ns;
  slot.freeze_ns = options.freeze_ns;
  slot.attempts = 1;
  slot.started_ns = context_.clock->realtime_ns();
  // Without room for a timeline the update goes on: it is for people.
  const auto page = Timeline::make(context_.records->arena(), slot.header.id);
  slot.timeline = page ? page->value : 0;
  change.set(service.active_update, context_.records->address_of(&slot));
  change.commit();
  Active& update = active_[slot.service];
  update = Active{.slot = &slot, .service = &service, .timeline = timeline(slot)};
  log_info("update {:x}: service '{}' from generation {}", slot.header.id, service.name,
           service.generation);
  start(update);
  return &slot;
}

// 1. plan: nothing that would be lost, a service that runs.
Status Updates::plan(abi::ServiceSlot& service) {
  if (service.state != static_cast<uint64_t>(abi::ServiceState::kRunning)) {
    return fail(EINVAL, "service '{}' is not running: start it with `outlive run`", service.name);
  }
  for (const Session* session : sessions_of(service)) {
    for (const abi::FileSlot* slot : session->files.ordered()) {
      if (files_.handler_of(*slot) == nullptr) {
        return fail(ENOENT, "session '{}' file {:#x}: no handler", session->name, slot->token);
      }
    }
  }
  return {};
}

// 2. start the successor beside the old one; it does its slow start-up now.
void Updates::start(Active& update) {
  enter(update, UpdateStep::kStart,
        update.slot->ready_ns != 0 ? update.slot->ready_ns : times.ready);
  update.timeline.begin("successor", "start", now());
  if (Status started = host_.start_successor(*update.service, *update.slot); !started) {
    begin_cancel(update, started.error().code, started.error().message);
  }
}

// 3. prepare: the old one checks, warns, flushes; everything still serves.
void Updates::prepare(Active& update) {
  enter(update, UpdateStep::kPrepare, times.prepare);
  update.old_side = host_.participants(*update.service, update.service->generation);
  ask(update, Step::kPrepare);
  if (update.waiting.empty() && !of_host(update)) preview(update);
}

//    A successor that looks ahead sees what the old one has preserved in prepare: connections,
//    above all. What it fetches now is not fetched in the blackout.
void Updates::preview(Active& update) {
  if (of_host(update)) return host_prepared();
  update.previewing = true;
  for (const Participant& one :
       host_.participants(*update.service, update.service->generation + 1)) {
    if (!one.previews) continue;
    update.waiting.insert(one.connection);
    update.deadline_ns = now() + times.prepare;
    update.timeline.begin("successor", "preview", now());
    host_.send_event(one.connection, Step::kPreview, update.slot->header.id, update.deadline_ns,
                     "");
  }
  if (update.waiting.empty()) freeze(update);
}

// 4. freeze: the old one stops taking work and notes what is half done. The blackout starts.
void Updates::freeze(Active& update) {
  if (Status prepared = files_.prepare(sessions_of(*update.service)); !prepared) {
    begin_cancel(update, prepared.error().code, prepared.error().message);
    return;
  }
  update.freeze_ns = now();
  enter(update, UpdateStep::kFreeze,
        update.slot->freeze_ns != 0 ? update.slot->freeze_ns : times.freeze);
  ask(update, Step::kFreeze);
  if (update.waiting.empty()) offer(update);
}

// 5. offer: handlers freeze, first to last; one store makes the sessions retrievable.
//    From here on the old one touches neither memory nor sockets, and the successor only reads.
void Updates::offer(Active& update) {
  if (of_host(update)) return host_frozen();
  const uint64_t begun = now();
  if (Status frozen = files_.freeze(sessions_of(*update.service)); !frozen) {
    begin_cancel(update, frozen.error().code, frozen.error().message);
    return;
  }
  update.timeline.end(update.timeline.begin("handlers", "freeze", begun), now());
  FAULT_POINT("luo.update.offer");
  enter(update, UpdateStep::kOffer, times.adopt);
  for (const Participant& one :
       host_.participants(*update.service, update.service->generation + 1)) {
    update.waiting.insert(one.connection);
    update.timeline.begin("successor", "adopt", now());
    host_.send_event(one.connection, Step::kAdopt, update.slot->header.id, update.deadline_ns, "");
  }
  if (update.waiting.empty()) commit(update);
}

// 6. commit: one store, the point of no return. Before it every failure is a cancel and the old one
//    has what it left; after it the successor owns the sessions, and the old one must not touch
//    anything that was preserved. The blackout ends.
void Updates::commit(Active& update) {
  abi::ServiceSlot& service = *update.service;
  abi::UpdateSlot& slot = *update.slot;
  const uint64_t stale_spec = service.previous_spec;
  const int64_t stale_binary = service.previous_binary_fd;
  Change change(*context_.records);
  switch_state(update, Event::kCommit, change);
  services_.generation_passed(change, service);
  change.set(slot.old, service.current);
  change.set(service.current, slot.successor);
  change.set(slot.successor, kNoProcess);  // its fds have one name
  change.set(service.previous_spec, service.spec);
  change.set(service.previous_spec_size, service.spec_size);
  change.set(service.previous_binary_fd, service.current.binary_fd);
  change.set(service.spec, slot.spec);
  change.set(service.spec_size, slot.spec_size);
  change.set(slot.spec, 0);
  change.set(service.updates, service.updates + 1);
  change.set(service.recent_deaths, 0);
  change.set(slot.step, static_cast<uint64_t>(UpdateStep::kCommit));
  change.set(slot.blackout_ns, now() - update.freeze_ns);
  FAULT_POINT("luo.update.commit");
  if (mutant("retire-before-commit")) host_.retire(service.current);
  change.commit();
  for (const Participant& one : host_.participants(service, service.generation)) {
    host_.send_event(one.connection, Step::kCommitted, slot.header.id, 0, "");
  }
  if (update.freeze_ns != 0) {
    update.timeline.end(update.timeline.begin("outlived", "blackout", update.freeze_ns), now());
  }
  services_.free_blob(stale_spec);
  if (stale_binary >= 0) context_.release(BorrowedFd(static_cast<int>(stale_binary)));
  update.waiting.clear();
  update.deadline_ns = now() + times.finish;
  update.timeline.begin("successor", "finish", now());
  log_notice("update {:x}: service '{}' committed, generation {}, blackout {} us", slot.header.id,
             service.name, service.generation, slot.blackout_ns / 1000);
  host_.progress(slot);
  if (!any_incoming(service)) finish(update);
}

// 7. finish: the successor has restored and serves; every incoming session is adopted or finished.
//    Nobody can refuse it: what doesn't fit together then is our own fault, and it goes no further.
void Updates::finish(Active& update) {
  if (luo::finish_failed(*update.slot)) return;
  const Status fits = check_finished(context_, sessions_, files_.flbs(), update.slot->service);
  if (!fits) return finish_failed(update, fits.error());
  update.timeline.end("successor", "finish", now());
  {
    Change change(*context_.records);
    // Of the host: who was frozen has what it had, in its next start.
    if (of_host(update)) {
      change.set(update.slot->blackout_ns,
                 update.timeline.bar_since_first("freeze", "outlived", "blackout", now()));
    }
    switch_state(update, Event::kFinish, change);
    change.set(update.slot->step, static_cast<uint64_t>(UpdateStep::kFinish));
    change.commit();
  }
  if (of_host(update) && is_normal(host_state())) {
    State host = State::kUpdated;
    static_cast<void>(transition(host, Event::kFinish, "host"));
  }
  host_.progress(*update.slot);
  host_.over(*update.slot);
  retire(update);
}

// 8. retire: the old one leaves; it is killed when it doesn't.
void Updates::retire(Active& update) {
  enter(update, UpdateStep::kRetire, times.retire);
  if (!host_.alive(update.slot->old)) {
    done(update);
    return;
  }
  update.timeline.begin("old", "retire", now());
  for (const Participant& one : host_.participants(*update.service, update.slot->from_generation)) {
    host_.send_event(one.connection, Step::kRetire, update.slot->header.id, update.deadline_ns, "");
  }
  host_.retire(update.slot->old);
}

void Updates::done(Active& update) {
  abi::ServiceSlot& service = *update.service;
  update.timeline.end("old", "retire", now());
  Change change(*context_.records);
  change.set(update.slot->step, static_cast<uint64_t>(UpdateStep::kDone));
  change.set(service.active_update, 0);
  change.set(update.slot->old, kNoProcess);
  change.commit();
  active_.erase(services_.address_of(service));
  host_.idle(service);
}

// ---- cancel: any failure before commit ----

void Updates::begin_cancel(Active& update, int code, std::string reason) {
  if (update.cancelling) return;
  if (of_host(update)) return cancel_host(update, code, reason);
  update.cancelling = true;
  update.code = code;
  update.reason = std::move(reason);
  update.waiting.clear();
  update.deadline_ns = 0;
  log_warning("update {:x}: service '{}' cancelled in [{}]: {}", update.slot->header.id,
              update.service->name, name_of(static_cast<UpdateStep>(update.slot->step)),
              update.reason);
  update.timeline.begin("outlived", "cancel", now());
  // The old one must not serve while the successor may still touch a socket: first its death.
  if (update.slot->successor.pid != 0 && host_.alive(update.slot->successor)) {
    host_.kill(update.slot->successor);
    return;
  }
  end_cancel(update);
}

void Updates::end_cancel(Active& update) {
  abi::ServiceSlot& service = *update.service;
  abi::UpdateSlot& slot = *update.slot;
  const bool frozen = slot.step == static_cast<uint64_t>(UpdateStep::kOffer);
  const bool asked = is_normal(static_cast<State>(slot.state)) == false;
  if (frozen) files_.unfreeze(sessions_of(service));
  host_.drop_generation(service, slot.from_generation + 1);
  const bool again = update.again && slot.attempts < times.attempts;
  const uint64_t spec = slot.spec;
  const int64_t fds[] = {slot.successor.binary_fd, slot.successor.notify_fd};
  {
    Change change(*context_.records);
    if (asked) switch_state(update, Event::kCancel, change);
    change.set(slot.successor, kNoProcess);
    if (again) {
      change.set(slot.attempts, slot.attempts + 1);
      change.set(slot.step, static_cast<uint64_t>(UpdateStep::kPlan));
    } else {
      change.set(slot.step, static_cast<uint64_t>(UpdateStep::kCancelled));
      change.set(slot.result, update.code);
      change.set_text(slot.reason, update.reason);
      change.set(slot.spec, 0);
      change.set(service.rollbacks, service.rollbacks + 1);
      change.set(service.active_update, 0);
    }
    change.commit();
  }
  for (const int64_t fd : fds) {
    if (fd >= 0) context_.release(BorrowedFd(static_cast<int>(fd)));
  }
  for (const Participant& one : host_.participants(service, service.generation)) {
    host_.send_event(one.connection, Step::kCancel, slot.header.id, 0, update.reason);
  }
  update.timeline.end("outlived", "cancel", now());
  log_notice("update {:x}: service '{}' rolled back: {}", slot.header.id, service.name,
             update.reason);
  if (again) {
    log_notice("update {:x}: begins anew, attempt {}", slot.header.id, slot.attempts);
    update.cancelling = update.again = update.successor_ready = update.previewing = false;
    update.freeze_ns = 0;
    start(update);
    return;
  }
  services_.free_blob(spec);
  host_.over(slot);
  active_.erase(services_.address_of(service));
  host_.idle(service);
}

Status Updates::cancel(abi::UpdateSlot& slot, int code, std::string_view reason) {
  auto* service = services_.at(slot.service);
  Active* update = service != nullptr ? active_of(*service) : nullptr;
  if (update == nullptr || slot.step >= static_cast<uint64_t>(UpdateStep::kCommit)) {
    return fail(EINVAL, "update {:x} can't be cancelled any more", slot.header.id);
  }
  begin_cancel(*update, code, std::string(reason));
  return {};
}

// ---- small parts ----

void Updates::enter(Active& update, UpdateStep step, uint64_t timeout_ns) {
  Change change(*context_.records);
  if (step == UpdateStep::kPrepare) switch_state(update, Event::kPrepare, change);
  if (step == UpdateStep::kFreeze) switch_state(update, Event::kFreeze, change);
  change.set(update.slot->step, static_cast<uint64_t>(step));
  change.commit();
  update.waiting.clear();
  update.deadline_ns = now() + timeout_ns;
  host_.progress(*update.slot);
}

void Updates::switch_state(Active& update, Event event, Change& change) {
  State state = static_cast<State>(update.slot->state);
  if (!transition(state, event, update.service->name)) return;
  change.set(update.slot->state, static_cast<uint64_t>(state));
}

void Updates::ask(Active& update, Step step) {
  for (const Participant& one : update.old_side) {
    update.waiting.insert(one.connection);
    update.timeline.begin("old", step == Step::kPrepare ? "prepare" : "freeze", now());
    host_.send_event(one.connection, step, update.slot->header.id, update.deadline_ns, "");
  }
}

std::vector<Session*> Updates::sessions_of(const abi::ServiceSlot& service) {
  std::vector<Session*> list;
  sessions_.for_each([&](Session& session) {
    if (session.slot->service == services_.address_of(service)) list.push_back(&session);
  });
  return list;
}

bool Updates::any_incoming(const abi::ServiceSlot& service) {
  for (const Session* session : sessions_of(service)) {
    if ((session->slot->flags & abi::kSessionInternal) == 0 &&
        sessions_.direction(*session) == Direction::kIncoming) {
      return true;
    }
  }
  return false;
}

Updates::Active* Updates::active_of(const abi::ServiceSlot& service) {
  const auto found = active_.find(services_.address_of(service));
  return found == active_.end() ? nullptr : &found->second;
}

// Of the owner's part of the arena, too: what is kept of updates that are over gives way, for it is
// for people. EDQUOT: not even that is enough, and nothing is forgotten.
Status Updates::make_room(const abi::ServiceSlot& service, uint64_t spec_size) {
  const ArenaQuota& quota = *context_.arena_quota;
  const uint64_t record = sizeof(abi::UpdateSlot) + abi::kPageSize;  // and its timeline
  const uint64_t more = record + kho::folio_bytes(spec_size);
  const uint64_t has = quota.bytes_of(service.uid);
  const uint64_t given = std::min(has, kept_of(service).size() * record);
  if (has - given + more > quota.limit_of(service.uid)) {
    return quota.room(service.uid, more).context("update");
  }
  forget_oldest(service, context_.limits.updates);
  while (!quota.room(service.uid, more) && forget_oldest(service, 1)) {
  }
  return {};
}

std::vector<abi::UpdateSlot*> Updates::kept_of(const abi::ServiceSlot& service) {
  std::vector<abi::UpdateSlot*> list;
  context_.records->for_each<abi::UpdateSlot>([&](abi::UpdateSlot& slot) {
    if (slot.service == services_.address_of(service)) list.push_back(&slot);
  });
  return list;
}

// Where so many are kept; false: there are less.
bool Updates::forget_oldest(const abi::ServiceSlot& service, uint64_t most) {
  const std::vector<abi::UpdateSlot*> ended = kept_of(service);
  if (ended.size() < most) return false;
  abi::UpdateSlot* oldest = ended.front();
  for (abi::UpdateSlot* slot : ended) {
    if (slot->header.id < oldest->header.id) oldest = slot;
  }
  const uint64_t page = oldest->timeline;
  Change change(*context_.records);
  change.remove(*oldest);
  change.commit();
  if (page != 0) context_.records->arena().restore_free(kho::Phys{page});
  return true;
}

}  // namespace outlive::luo
