// What an update hears: answers, vetoes, deaths, time, a new worker; and what may be asked about
// it. The steps themselves are in update.cc.
#include <string.h>

#include "base/log.h"
#include "base/mutant.h"
#include "luo/update.h"

namespace outlive::luo {

using abi::Step;
using abi::UpdateStep;

// ---- news ----

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
    if (luo::finish_failed(*update->slot)) return may_begin(service);
    if (!any_incoming(service)) return {};
    return fail(EBUSY, "service '{}' has incoming sessions: adopt or finish them first",
                service.name);
  }
  const Step asked = update->previewing ? Step::kPreview : Step::kPrepare;
  const bool fits = (step == asked && at == UpdateStep::kPrepare) ||
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
      update.timeline.end(update.previewing ? "successor" : "old",
                          update.previewing ? "preview" : "prepare", now());
      if (!update.waiting.empty()) break;
      update.previewing ? freeze(update) : preview(update);
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
    if (at == UpdateStep::kCommit && of_host(*update)) host_start_anew(*update);
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
  if (update == nullptr || any_incoming(service) || restarts(service)) return;
  if (static_cast<UpdateStep>(update->slot->step) == UpdateStep::kCommit) finish(*update);
}

void Updates::given_up(abi::ServiceSlot& service, std::string_view reason) {
  Active* update = active_of(service);
  if (update == nullptr || static_cast<UpdateStep>(update->slot->step) != UpdateStep::kCommit ||
      luo::finish_failed(*update->slot)) {
    return;
  }
  log_warning("update {:x}: service '{}': {}", update->slot->header.id, service.name, reason);
  update->timeline.end("successor", "finish", now());
  {
    Change change(*context_.records);
    change.set(update->slot->result, int64_t{ECHILD});
    change.set_text(update->slot->reason, reason);
    change.commit();
  }
  retire(*update);
}

void Updates::service_removed(const abi::ServiceSlot& service) {
  const Active* update = active_of(service);
  if (update == nullptr) return;
  for (const abi::ProcessWords* process : {&update->slot->successor, &update->slot->old}) {
    if (host_.alive(*process)) host_.kill(*process);
  }
  active_.erase(services_.address_of(service));
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
      const bool all = of_host(update);
      begin_cancel(
          update, ETIMEDOUT,
          fmt::format("{} did not answer {} in time", waiting_for(*update.slot), name_of(at)));
      if (all) return;  // it may have removed several from the map
    } else if (restarts(*update.service)) {
      log_warning("update {:x}: the old one of '{}' did not leave, it is killed",
                  update.slot->header.id, update.service->name);
      update.deadline_ns = 0;
      host_.kill(update.slot->old);
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

// ---- a new worker ----

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
    active_[slot.service] = Active{.slot = &slot, .service = service, .timeline = timeline(slot)};
  });
  services_.for_each([&](abi::ServiceSlot& service) {
    if (service.active_update == 0 || active_of(service) != nullptr) return;
    status = fail(EUCLEAN, "service '{}': its active update is no record", service.name);
  });
  if (!status) return status;
  context_.records->arena().sweep(abi::kOwnerTimeline,
                                  [&](kho::Phys page) { return pages.contains(page.value); });
  carry_on_host_commit();
  return {};
}

void Updates::resume() {
  if (const auto members = host_members(true); !members.empty()) {
    begin_cancel(*active_of(*members.front()), EAGAIN, "outlived's worker was replaced");
  }
  for (auto it = active_.begin(); it != active_.end();) {
    Active& update = it->second;
    ++it;
    const auto at = static_cast<UpdateStep>(update.slot->step);
    if (at < UpdateStep::kCommit) {
      update.again = true;
      begin_cancel(update, EAGAIN, "outlived's worker was replaced");
    } else if (restarts(*update.service)) {
      update.timeline.end("outlived", "attach", now());  // of one that came through a kexec
      host_retire(update);
    } else if (at == UpdateStep::kCommit) {
      forget_finish_failure(update);
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

Status Updates::check_versions(const Active& update, uint64_t connection) const {
  uint64_t oldest = 0;
  for (const Participant& one :
       host_.participants(*update.service, update.service->generation + 1)) {
    if (one.connection == connection) oldest = one.versions & 0xffffffff;
  }
  for (const Participant& one : host_.participants(*update.service, update.service->generation)) {
    const uint64_t written = one.versions >> 32;
    if (written != 0 && oldest != 0 && written < oldest && !mutant("version-unchecked")) {
      return fail(EPROTO, "the state is of version {}, the successor reads {} and later", written,
                  oldest);
    }
  }
  return {};
}

// ---- questions ----

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

std::vector<abi::UpdateSlot*> Updates::all_of_request(const uint64_t (&request_id)[2]) {
  std::vector<abi::UpdateSlot*> found;
  context_.records->for_each<abi::UpdateSlot>([&](abi::UpdateSlot& slot) {
    if (slot.request_id[0] == request_id[0] && slot.request_id[1] == request_id[1]) {
      found.push_back(&slot);
    }
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
    case UpdateStep::kPrepare: {
      const auto active = active_.find(slot.service);
      const bool previewing = active != active_.end() && active->second.previewing;
      return previewing ? "the successor (preview)" : "the old one";
    }
    case UpdateStep::kFreeze:
      return "the old one";
    case UpdateStep::kCommit: {
      const auto active = active_.find(slot.service);
      const bool outlived = active != active_.end() && awaits_outlived(active->second);
      if (luo::finish_failed(slot)) return "an operator (its finish failed)";
      return outlived ? "outlived (its own replacement)" : "the successor (finish)";
    }
    case UpdateStep::kRetire:
      return "the old one (retire)";
    default:
      return "";
  }
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
                                           "adopt", "committed", "retire",  "finish", "preview"};
  const auto index = static_cast<size_t>(step);
  return index < std::size(kNames) ? kNames[index] : "invalid";
}

}  // namespace outlive::luo
