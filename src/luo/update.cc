#include "luo/update.h"

#include <string.h>

#include "base/fault.h"
#include "base/log.h"

namespace outlive::luo {

using abi::Step;
using abi::UpdateStep;

// ---- the steps, in order
// --------------------------------------------------------------------------

Result<abi::UpdateSlot*> Updates::begin(abi::ServiceSlot& service, const Options& options) {
  if (service.active_update != 0) {
    return fail(EBUSY, "service '{}': an update is running", service.name);
  }
  TRY(plan(service));
  forget_oldest(service);
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
  slot.successor = {0, -1, 0, 0, -1, -1};
  slot.old = {0, -1, 0, 0, -1, -1};
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
  update = Active{&slot, &service, {}, {}, 0, 0, false, false, false, 0, {}, timeline(slot)};
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
  if (update.waiting.empty()) freeze(update);
}

// 4. freeze: the old one stops taking work and notes what is half done. The blackout starts.
void Updates::freeze(Active& update) {
  update.freeze_ns = now();
  enter(update, UpdateStep::kFreeze,
        update.slot->freeze_ns != 0 ? update.slot->freeze_ns : times.freeze);
  ask(update, Step::kFreeze);
  if (update.waiting.empty()) offer(update);
}

// 5. offer: handlers freeze, first to last; one store makes the sessions retrievable.
//    From here on the old one touches neither memory nor sockets, and the successor only reads.
void Updates::offer(Active& update) {
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
  change.set(slot.successor, abi::ProcessWords{0, -1, 0, 0, -1, -1});  // its fds have one name
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
void Updates::finish(Active& update) {
  update.timeline.end("successor", "finish", now());
  {
    Change change(*context_.records);
    switch_state(update, Event::kFinish, change);
    change.set(update.slot->step, static_cast<uint64_t>(UpdateStep::kFinish));
    change.commit();
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
  change.set(update.slot->old, abi::ProcessWords{0, -1, 0, 0, -1, -1});
  change.commit();
  active_.erase(services_.address_of(service));
  host_.idle(service);
}

// ---- cancel: any failure before commit
// --------------------------------------------------------------

void Updates::begin_cancel(Active& update, int code, std::string reason) {
  if (update.cancelling) return;
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
    change.set(slot.successor, abi::ProcessWords{0, -1, 0, 0, -1, -1});
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
    update.cancelling = update.again = update.successor_ready = false;
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

// ---- news
// -----------------------------------------------------------------------------------------

void Updates::successor_started(abi::UpdateSlot& slot, const abi::ProcessWords& process) {
  Change change(*context_.records);
  change.set(slot.successor, process);
  change.commit();
  host_.progress(slot);
}

void Updates::start_failed(abi::UpdateSlot& slot, const Error& error) {
  auto* service = services_.at(slot.service);
  Active* update = service != nullptr ? active_of(*service) : nullptr;
  if (update != nullptr) begin_cancel(*update, error.code, error.message);
}

Status Updates::expects(const abi::ServiceSlot& service, uint64_t connection, uint64_t generation,
                        Step step, uint64_t id) {
  Active* update = active_of(service);
  if (update == nullptr || update->cancelling || (id != 0 && update->slot->header.id != id)) {
    return fail(EINVAL, "service '{}': no update waits for this", service.name);
  }
  const auto at = static_cast<UpdateStep>(update->slot->step);
  if (step == Step::kStart && at == UpdateStep::kStart && generation == service.generation + 1) {
    return {};
  }
  if (step == Step::kFinish && at == UpdateStep::kCommit && generation == service.generation) {
    if (!any_incoming(service)) return {};
    return fail(EBUSY, "service '{}' has incoming sessions: adopt or finish them first",
                service.name);
  }
  const bool fits = (step == Step::kPrepare && at == UpdateStep::kPrepare) ||
                    (step == Step::kFreeze && at == UpdateStep::kFreeze) ||
                    (step == Step::kAdopt && at == UpdateStep::kOffer);
  if (fits && update->waiting.contains(connection)) return {};
  return fail(EINVAL, "service '{}': the update is at {}, this answer is late or early",
              service.name, name_of(at));
}

Status Updates::ready(const abi::ServiceSlot& service, uint64_t connection, uint64_t generation,
                      Step step, uint64_t id) {
  TRY(expects(service, connection, generation, step, id));
  Active& update = *active_of(service);
  if (step == Step::kFinish) {
    finish(update);
  } else if (step == Step::kStart) {
    if (Status fits = check_versions(update, connection); !fits) {
      begin_cancel(update, fits.error().code, fits.error().message);
      return fits;
    }
    update.timeline.end("successor", "start", now());
    prepare(update);
  } else {
    answered(update, connection);
  }
  return {};
}

void Updates::answered(Active& update, uint64_t connection) {
  update.waiting.erase(connection);
  switch (static_cast<UpdateStep>(update.slot->step)) {
    case UpdateStep::kPrepare:
      update.timeline.end("old", "prepare", now());
      if (update.waiting.empty()) freeze(update);
      break;
    case UpdateStep::kFreeze:
      update.timeline.end("old", "freeze", now());
      if (update.waiting.empty()) offer(update);
      break;
    case UpdateStep::kOffer:
      update.timeline.end("successor", "adopt", now());
      if (update.waiting.empty()) commit(update);
      break;
    default:
      break;
  }
}

Status Updates::veto(const abi::ServiceSlot& service, uint64_t connection, uint64_t generation,
                     Step step, uint64_t id, std::string_view reason) {
  Active* update = active_of(service);
  const bool early =
      update != nullptr && update->slot->step < static_cast<uint64_t>(UpdateStep::kCommit);
  if (!early || update->cancelling || (id != 0 && update->slot->header.id != id)) {
    return fail(EINVAL, "service '{}': there is no update that can be vetoed", service.name);
  }
  const bool successor = generation == service.generation + 1;
  if (!successor && !update->waiting.contains(connection)) {
    return fail(EINVAL, "service '{}': nobody asked", service.name);
  }
  const char* who = successor ? "the successor" : "the old one";
  begin_cancel(*update, ECANCELED, fmt::format("{} vetoed {}: {}", who, name_of(step), reason));
  return {};
}

bool Updates::process_ended(abi::ServiceSlot& service, int64_t pid, std::string_view how) {
  Active* update = active_of(service);
  if (update == nullptr || pid == 0) return false;
  const auto at = static_cast<UpdateStep>(update->slot->step);
  if (at < UpdateStep::kCommit && pid == update->slot->successor.pid) {
    if (update->cancelling) {
      end_cancel(*update);
    } else {
      begin_cancel(*update, ECHILD, fmt::format("the successor {} at {}", how, name_of(at)));
    }
    return true;
  }
  if (at >= UpdateStep::kCommit && pid == update->slot->old.pid) {
    if (at == UpdateStep::kRetire) done(*update);
    return true;  // else: it left early; retire() will see that
  }
  if (at < UpdateStep::kCommit && pid == service.current.pid) {
    // The old one died. It had answered freeze: what it left is whole, the update goes forward.
    if (at == UpdateStep::kOffer && !update->cancelling) return true;
    begin_cancel(*update, ECHILD, fmt::format("the old one {} at {}", how, name_of(at)));
  }
  return false;
}

void Updates::sessions_changed(abi::ServiceSlot& service) {
  Active* update = active_of(service);
  if (update == nullptr || any_incoming(service)) return;
  if (static_cast<UpdateStep>(update->slot->step) == UpdateStep::kCommit) finish(*update);
}

void Updates::connection_closed(uint64_t connection) {
  for (auto& [address, update] : active_) {
    if (update.cancelling || !update.waiting.contains(connection)) continue;
    // Its process may be dying (process_ended will say so) or only have hung up: no answer comes.
    begin_cancel(update, ECONNRESET,
                 fmt::format("a participant closed its connection at {}",
                             name_of(static_cast<UpdateStep>(update.slot->step))));
    return;  // begin_cancel may have removed it from the map
  }
}

void Updates::tick(uint64_t now_ns) {
  for (auto it = active_.begin(); it != active_.end();) {
    Active& update = it->second;
    ++it;  // a cancel or done() below may erase it
    if (update.deadline_ns == 0 || now_ns < update.deadline_ns) continue;
    const auto at = static_cast<UpdateStep>(update.slot->step);
    if (at < UpdateStep::kCommit) {
      begin_cancel(
          update, ETIMEDOUT,
          fmt::format("{} did not answer {} in time", waiting_for(*update.slot), name_of(at)));
    } else if (at == UpdateStep::kRetire) {
      log_warning("update {:x}: the old one of '{}' did not leave, it is killed",
                  update.slot->header.id, update.service->name);
      update.deadline_ns = 0;
      host_.kill(update.slot->old);
    } else {
      log_warning("update {:x}: service '{}' has not said finish", update.slot->header.id,
                  update.service->name);
      update.deadline_ns = 0;
    }
  }
}

// ---- a new worker -------------------------------------------------------------------------------

Status Updates::load() {
  Status status;
  std::set<uint64_t> pages;
  context_.records->for_each<abi::UpdateSlot>([&](abi::UpdateSlot& slot) {
    auto* service = services_.at(slot.service);
    if (service == nullptr) {
      status = fail(EUCLEAN, "update {:x}: its service is no record", slot.header.id);
      return;
    }
    if (slot.state > static_cast<uint64_t>(State::kUpdated) ||
        slot.step > static_cast<uint64_t>(UpdateStep::kCancelled)) {
      status =
          fail(EUCLEAN, "update {:x}: step {} state {}", slot.header.id, slot.step, slot.state);
      return;
    }
    if (slot.timeline != 0 &&
        (!pages.insert(slot.timeline).second ||
         !context_.records->arena().is_live(kho::Phys{slot.timeline}, abi::kOwnerTimeline))) {
      status = fail(EUCLEAN, "update {:x}: its timeline is no page of its own", slot.header.id);
      return;
    }
    if (strnlen(slot.reason, sizeof slot.reason) == sizeof slot.reason) {
      status = fail(EUCLEAN, "update {:x}: its reason has no end", slot.header.id);
      return;
    }
    if (service->active_update != context_.records->address_of(&slot)) return;
    active_[slot.service] =
        Active{&slot, service, {}, {}, 0, 0, false, false, false, 0, {}, timeline(slot)};
  });
  services_.for_each([&](abi::ServiceSlot& service) {
    if (service.active_update == 0 || active_of(service) != nullptr) return;
    status = fail(EUCLEAN, "service '{}': its active update is no record", service.name);
  });
  if (!status) return status;
  context_.records->arena().sweep(abi::kOwnerTimeline,
                                  [&](kho::Phys page) { return pages.contains(page.value); });
  return {};
}

void Updates::resume() {
  for (auto it = active_.begin(); it != active_.end();) {
    Active& update = it->second;
    ++it;
    const auto at = static_cast<UpdateStep>(update.slot->step);
    if (at < UpdateStep::kCommit) {
      update.again = true;
      begin_cancel(update, EAGAIN, "outlived's worker was replaced");
    } else if (at == UpdateStep::kCommit) {
      update.deadline_ns = now() + times.finish;
      for (const Participant& one :
           host_.participants(*update.service, update.service->generation)) {
        host_.send_event(one.connection, Step::kCommitted, update.slot->header.id, 0, "");
      }
      if (!any_incoming(*update.service)) finish(update);
    } else {
      retire(update);
    }
  }
}

// ---- small parts --------------------------------------------------------------------------------

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

Status Updates::check_versions(const Active& update, uint64_t connection) const {
  uint64_t oldest = 0;
  for (const Participant& one :
       host_.participants(*update.service, update.service->generation + 1)) {
    if (one.connection == connection) oldest = one.versions & 0xffffffff;
  }
  for (const Participant& one : host_.participants(*update.service, update.service->generation)) {
    const uint64_t written = one.versions >> 32;
    if (written != 0 && oldest != 0 && written < oldest) {
      return fail(EPROTO, "the state is of version {}, the successor reads {} and later", written,
                  oldest);
    }
  }
  return {};
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

abi::UpdateSlot* Updates::active(const abi::ServiceSlot& service) {
  Active* update = active_of(service);
  return update == nullptr ? nullptr : update->slot;
}

abi::UpdateSlot* Updates::find(uint64_t id) {
  abi::UpdateSlot* found = nullptr;
  context_.records->for_each<abi::UpdateSlot>([&](abi::UpdateSlot& slot) {
    if (slot.header.id == id) found = &slot;
  });
  return found;
}

abi::UpdateSlot* Updates::find_request(const uint64_t (&request_id)[2]) {
  abi::UpdateSlot* found = nullptr;
  context_.records->for_each<abi::UpdateSlot>([&](abi::UpdateSlot& slot) {
    if (slot.request_id[0] == request_id[0] && slot.request_id[1] == request_id[1]) found = &slot;
  });
  return found;
}

State Updates::state(const abi::ServiceSlot& service) {
  const Active* update = active_of(service);
  return update == nullptr ? State::kNormal : static_cast<State>(update->slot->state);
}

Updates::Access Updates::access(const abi::ServiceSlot& service, uint64_t generation) {
  if (generation == service.generation) return Access::kCurrent;
  if (generation < service.generation) return Access::kStale;
  const Active* update = active_of(service);
  if (update == nullptr || update->cancelling || generation != service.generation + 1) {
    return Access::kStale;
  }
  const bool offered = update->slot->step == static_cast<uint64_t>(UpdateStep::kOffer);
  return offered ? Access::kOffered : Access::kNotOffered;
}

bool Updates::frozen_for(const abi::ServiceSlot& service, uint64_t connection) {
  const Active* update = active_of(service);
  if (update == nullptr) return false;
  const auto at = static_cast<UpdateStep>(update->slot->step);
  if (at == UpdateStep::kOffer) return true;
  if (at != UpdateStep::kFreeze) return false;
  for (const Participant& one : update->old_side) {
    if (one.connection == connection) return !update->waiting.contains(connection);
  }
  return false;
}

std::string Updates::waiting_for(const abi::UpdateSlot& slot) {
  switch (static_cast<UpdateStep>(slot.step)) {
    case UpdateStep::kStart:
    case UpdateStep::kOffer:
      return "the successor";
    case UpdateStep::kPrepare:
    case UpdateStep::kFreeze:
      return "the old one";
    case UpdateStep::kCommit:
      return "the successor (finish)";
    case UpdateStep::kRetire:
      return "the old one (retire)";
    default:
      return "";
  }
}

void Updates::forget_oldest(const abi::ServiceSlot& service) {
  constexpr size_t kKept = 64;
  std::vector<abi::UpdateSlot*> ended;
  context_.records->for_each<abi::UpdateSlot>([&](abi::UpdateSlot& slot) {
    if (slot.service == services_.address_of(service)) ended.push_back(&slot);
  });
  if (ended.size() < kKept) return;
  abi::UpdateSlot* oldest = ended.front();
  for (abi::UpdateSlot* slot : ended) {
    if (slot->header.id < oldest->header.id) oldest = slot;
  }
  const uint64_t page = oldest->timeline;
  Change change(*context_.records);
  change.remove(*oldest);
  change.commit();
  if (page != 0) context_.records->arena().restore_free(kho::Phys{page});
}

uint64_t Updates::next_deadline() const {
  uint64_t earliest = 0;
  for (const auto& [address, update] : active_) {
    if (update.deadline_ns == 0) continue;
    if (earliest == 0 || update.deadline_ns < earliest) earliest = update.deadline_ns;
  }
  return earliest;
}

const char* name_of(UpdateStep step) {
  static constexpr const char* kNames[] = {"plan",   "start",  "prepare", "freeze", "offer",
                                           "commit", "finish", "retire",  "done",   "cancelled"};
  const auto index = static_cast<size_t>(step);
  return index < std::size(kNames) ? kNames[index] : "invalid";
}

const char* name_of(Step step) {
  static constexpr const char* kNames[] = {"none",  "start",     "prepare", "freeze", "cancel",
                                           "adopt", "committed", "retire",  "finish"};
  const auto index = static_cast<size_t>(step);
  return index < std::size(kNames) ? kNames[index] : "invalid";
}

}  // namespace outlive::luo
