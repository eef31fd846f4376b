// An update of scope `host` (all of user space) or `kernel` (that, by a kexec). Every service that
// runs takes part in one barrier:
//
//   begin -> prepare all -> freeze all -> commit, one store for all -> each: retire the old one,
//   start it anew from its record -> it retrieves and adopts -> finish
//                \______ any failure of anyone: cancel all ______/
//
// Where outlived is replaced as well (HostOptions::outlived) that is done between "retire" and
// "start it anew", by whoever owns its processes; its next version has been rehearsed before begin.
//
// Each service has an update record of its own (scope host, one request id for all of them), and
// what it hears is heard as in any update (update_news.cc). Only what one may not do before all the
// others can is here.
// Happy path:   nobody is frozen before all are prepared; nothing is given up before all are
//               frozen.
// Unhappy path: veto, death, deadline, a handler that won't freeze, a new worker, before commit:
//               everyone gets `cancel`, handlers unfreeze, last first. After it each service is on
//               its own: one that doesn't come up is restarted as its policy says, and what it had
//               stays offered.
// Of no service: sessions of other clients turn incoming with the same store; who holds them gets
//               ESTALE.
// The commit's store is RecordsRoot.live_update_number: the records of all services name the number
// that makes them committed, so there may be more of them than one change has room for.
#include <algorithm>

#include "base/fault.h"
#include "base/log.h"
#include "luo/update.h"

namespace outlive::luo {

using abi::Step;
using abi::UpdateStep;

namespace {
constexpr abi::ProcessWords kNoProcess{0, -1, 0, 0, -1, -1};
// What one change takes: a new record and two words each.
constexpr size_t kMostServices = abi::kMaxRedo / 4;

uint64_t flags_of(const abi::UpdateSlot& slot) {
  return slot.flags & ((uint64_t{1} << abi::kUpdateNumberShift) - 1);
}
}  // namespace

// Plan: services that run and have nothing else going on.
Result<std::vector<abi::ServiceSlot*>> Updates::plan_host(Scope scope) {
  std::vector<abi::ServiceSlot*> list;
  Status status;
  services_.for_each([&](abi::ServiceSlot& service) {
    if (!status) return;
    status = may_begin(service);
    if (!status) return;
    if (service.state == static_cast<uint64_t>(abi::ServiceState::kRunning)) {
      status = plan(service);
      list.push_back(&service);
    } else if (service.current.pid != 0) {
      status = fail(EBUSY, "service '{}' is about to start or to stop", service.name);
    }
  });
  TRY(std::move(status));
  if (list.empty() && scope == Scope::kHost) return fail(EINVAL, "no service runs");
  if (list.size() > kMostServices) {
    return fail(E2BIG, "{} services run: {} are the most that one update can take", list.size(),
                kMostServices);
  }
  std::sort(list.begin(), list.end(),
            [](const auto* a, const auto* b) { return a->header.id < b->header.id; });
  return list;
}

Status Updates::can_begin_host() {
  TRY(plan_host(Scope::kHost));
  return {};
}

std::vector<Session*> Updates::plain_sessions() {
  std::vector<Session*> list;
  sessions_.for_each([&](Session& session) {
    if (session.slot->service == 0) list.push_back(&session);
  });
  return list;
}

Result<std::vector<abi::UpdateSlot*>> Updates::begin_host(const HostOptions& options) {
  const std::vector<abi::ServiceSlot*> services = TRY(plan_host(options.scope));
  for (const abi::ServiceSlot* service : services) {
    forget_oldest(*service, context_.limits.updates);
  }
  std::vector<abi::UpdateSlot*> made;
  {
    Change change(*context_.records);
    for (abi::ServiceSlot* service : services) {
      auto* slot = TRY(change.add<abi::UpdateSlot>());
      slot->service = services_.address_of(*service);
      slot->scope = static_cast<uint64_t>(options.scope);
      slot->step = static_cast<uint64_t>(UpdateStep::kPlan);
      slot->state = static_cast<uint64_t>(State::kNormal);
      slot->from_generation = service->generation;
      slot->successor = kNoProcess;
      slot->old = kNoProcess;
      slot->request_id[0] = options.request_id[0];
      slot->request_id[1] = options.request_id[1];
      slot->flags = options.outlived ? abi::kUpdateOutlived : 0;
      slot->attempts = 1;
      slot->started_ns = context_.clock->realtime_ns();
      change.set(service->active_update, context_.records->address_of(slot));
      made.push_back(slot);
    }
    change.commit();
  }
  log_notice("update {:x}: of the {}, {} services", made.empty() ? 0 : made.front()->header.id,
             name_of(options.scope), made.size());
  for (size_t i = 0; i < made.size(); ++i) {
    const auto page = Timeline::make(context_.records->arena(), made[i]->header.id);
    Change change(*context_.records);
    change.set(made[i]->timeline, page ? page->value : 0);
    change.commit();
    active_[made[i]->service] =
        Active{.slot = made[i], .service = services[i], .timeline = timeline(*made[i])};
    if (options.rehearsal_begun_ns == 0) continue;
    Timeline bars = timeline(*made[i]);
    bars.end(bars.begin("outlived", "rehearsal", options.rehearsal_begun_ns),
             options.rehearsal_ended_ns);
  }
  for (const abi::ServiceSlot* service : services) prepare(*active_of(*service));
  host_prepared();
  return made;
}

bool Updates::is_of_host(const abi::UpdateSlot& update) {
  return update.scope == static_cast<uint64_t>(Scope::kHost) ||
         update.scope == static_cast<uint64_t>(Scope::kKernel);
}

bool Updates::of_host(const Active& update) {
  return is_of_host(*update.slot);
}

// In order of their making; those before commit, or all.
std::vector<abi::ServiceSlot*> Updates::host_members(bool before_commit) {
  std::vector<const Active*> list;
  for (const auto& [address, update] : active_) {
    const bool early = update.slot->step < static_cast<uint64_t>(UpdateStep::kCommit);
    if (of_host(update) && (early || !before_commit)) list.push_back(&update);
  }
  std::sort(list.begin(), list.end(),
            [](const auto* a, const auto* b) { return a->slot->header.id < b->slot->header.id; });
  std::vector<abi::ServiceSlot*> services;
  for (const Active* update : list) services.push_back(update->service);
  return services;
}

// Everyone has come to this step and has answered it.
bool Updates::host_all_at(UpdateStep step) {
  const std::vector<abi::ServiceSlot*> members = host_members(true);
  return !members.empty() && std::ranges::all_of(members, [&](const abi::ServiceSlot* service) {
    const Active& update = *active_of(*service);
    return !update.cancelling && update.waiting.empty() &&
           update.slot->step == static_cast<uint64_t>(step);
  });
}

// Nobody is frozen before all are prepared.
void Updates::host_prepared() {
  if (!host_all_at(UpdateStep::kPrepare)) return;
  for (const abi::ServiceSlot* service : host_members(true)) {
    Active* update = active_of(*service);
    if (update == nullptr) return;  // one before it could not: all are cancelled
    freeze(*update);
  }
}

// All that they could still say they have said. Now the handlers; the blackout goes on.
void Updates::host_frozen() {
  if (!host_all_at(UpdateStep::kFreeze)) return;
  for (const abi::ServiceSlot* service : host_members(true)) {
    Active& update = *active_of(*service);
    const uint64_t begun = now();
    if (Status frozen = files_.freeze(sessions_of(*service)); !frozen) {
      begin_cancel(update, frozen.error().code, frozen.error().message);
      return;
    }
    update.timeline.end(update.timeline.begin("handlers", "freeze", begun), now());
    const bool kexec = update.slot->scope == static_cast<uint64_t>(Scope::kKernel);
    enter(update, UpdateStep::kOffer, kexec ? times.kexec : times.adopt);
  }
  FAULT_POINT("luo.host.frozen");
  // Of the kernel: the records of all this are about to leave; the next kernel's outlived commits.
  const Active& any = *active_of(*host_members(true).front());
  if (any.slot->scope != static_cast<uint64_t>(Scope::kKernel)) host_commit();
}

// The point of no return, one store for all: outgoing is incoming. Beyond it nobody who ran before
// may touch anything that was preserved.
void Updates::host_commit() {
  for (abi::ServiceSlot* service : host_switch()) {
    Active* update = active_of(*service);
    if (update == nullptr) continue;
    if (awaits_outlived(*update)) update->timeline.begin("outlived", "replace", now());
    host_retire(*update);
  }
}

// In the records of another kernel's outlived: also sessions of a host without services turn.
void Updates::kexec_arrived() {
  host_switch();
  turn_plain_sessions();
}

std::vector<abi::ServiceSlot*> Updates::host_switch() {
  const std::vector<abi::ServiceSlot*> members = host_members(true);
  uint64_t& number = context_.records->root().live_update_number;
  {
    Change change(*context_.records);
    for (const abi::ServiceSlot* service : members) {
      abi::UpdateSlot& slot = *active_of(*service)->slot;
      change.set(slot.flags, flags_of(slot) | (number + 1) << abi::kUpdateNumberShift);
    }
    change.commit();
  }
  {
    Change change(*context_.records);
    change.set(number, number + 1);
    FAULT_POINT("luo.host.commit");
    change.commit();
  }
  carry_on_host_commit();
  log_notice("update of the host committed: live update number {}", number);
  return members;
}

// What follows from that store: in as many changes as it takes, before anybody is served. A death
// in the middle of it is carried on at attach; all of it may be done again.
void Updates::carry_on_host_commit() {
  const uint64_t number = context_.records->root().live_update_number;
  std::vector<Active*> committed;
  for (auto& [address, update] : active_) {
    const bool offered = update.slot->step == static_cast<uint64_t>(UpdateStep::kOffer);
    const uint64_t named = update.slot->flags >> abi::kUpdateNumberShift;  // 0: none yet
    if (of_host(update) && offered && named != 0 && named == number) committed.push_back(&update);
  }
  if (committed.empty()) return;
  turn_plain_sessions();
  // The last thing: as long as one of them is at `offer`, all of it is done again.
  std::sort(committed.begin(), committed.end(),
            [](const auto* a, const auto* b) { return a->slot->header.id < b->slot->header.id; });
  for (Active* update : committed) host_committed(*update);
}

void Updates::turn_plain_sessions() {
  Records& records = *context_.records;
  std::vector<std::pair<uint64_t*, uint64_t>> words;
  for (Session* session : plain_sessions()) {
    words.emplace_back(&session->slot->generation, abi::kIncomingGeneration);
    if (session->slot->orphaned_ns == 0) {
      words.emplace_back(&session->slot->orphaned_ns, context_.clock->steady_ns());
    }
    session->holders.clear();
  }
  records.for_each<abi::ConnectionSlot>([&](abi::ConnectionSlot& slot) {
    const auto* session = records.find<abi::SessionSlot>(slot.session);
    if (session != nullptr && session->service == 0) words.emplace_back(&slot.session, 0);
  });
  for (size_t done = 0; done < words.size();) {
    Change change(records);
    for (; done < words.size() && change.room() > 0; ++done) {
      change.set(*words[done].first, words[done].second);
    }
    change.commit();
  }
}

void Updates::host_committed(Active& update) {
  abi::ServiceSlot& service = *update.service;
  abi::ProcessWords old = service.current;
  const int64_t binary = std::exchange(old.binary_fd, -1);
  {
    Change change(*context_.records);
    switch_state(update, Event::kCommit, change);
    services_.generation_passed(change, service);
    change.set(update.slot->old, old);
    change.set(service.current, kNoProcess);
    change.set(service.updates, service.updates + 1);
    change.set(service.recent_deaths, 0);
    change.set(update.slot->flags, flags_of(*update.slot));
    change.set(update.slot->step, static_cast<uint64_t>(UpdateStep::kCommit));
    change.commit();
  }
  if (binary >= 0) context_.release(BorrowedFd(static_cast<int>(binary)));
}

// The old one leaves; when it is gone its service is started anew.
void Updates::host_retire(Active& update) {
  if (!host_.alive(update.slot->old)) return host_start_anew(update);
  update.waiting.clear();
  update.deadline_ns = now() + times.retire;
  update.timeline.begin("old", "retire", now());
  for (const Participant& one : host_.participants(*update.service, update.slot->from_generation)) {
    host_.send_event(one.connection, Step::kRetire, update.slot->header.id, update.deadline_ns, "");
  }
  host_.retire(update.slot->old);
  host_.progress(*update.slot);
}

void Updates::host_start_anew(Active& update) {
  update.timeline.end("old", "retire", now());
  update.deadline_ns = 0;
  if (awaits_outlived(update)) return;
  update.deadline_ns = now() + times.finish;
  host_.start_anew(*update.service);
  if (!any_incoming(*update.service)) finish(update);
}

bool Updates::awaits_outlived(const Active& update) {
  return of_host(update) && (update.slot->flags & abi::kUpdateOutlived) != 0 &&
         update.slot->step == static_cast<uint64_t>(UpdateStep::kCommit);
}

bool Updates::awaits_outlived(const abi::ServiceSlot& service) {
  const Active* update = active_of(service);
  return update != nullptr && awaits_outlived(*update);
}

Updates::Outlived Updates::outlived_in_host() {
  Outlived found = Outlived::kStays;
  for (const auto& [address, update] : active_) {
    if (!of_host(update) || (update.slot->flags & abi::kUpdateOutlived) == 0) continue;
    if (awaits_outlived(update)) return Outlived::kAwaited;
    if (update.slot->step < static_cast<uint64_t>(UpdateStep::kCommit)) {
      found = Outlived::kToBeReplaced;
    }
  }
  return found;
}

std::optional<std::array<uint64_t, 2>> Updates::awaiting_request() {
  for (const auto& [address, update] : active_) {
    if (!awaits_outlived(update)) continue;
    return std::array<uint64_t, 2>{update.slot->request_id[0], update.slot->request_id[1]};
  }
  return std::nullopt;
}

void Updates::outlived_replaced(std::string_view why_not) {
  std::vector<abi::ServiceSlot*> members = host_members(false);
  std::erase_if(members, [&](const auto* service) { return !awaits_outlived(*service); });
  if (members.empty()) return;
  FAULT_POINT("luo.host.outlived");
  {
    Change change(*context_.records);
    for (const abi::ServiceSlot* service : members) {
      abi::UpdateSlot& slot = *active_of(*service)->slot;
      change.set(slot.flags, slot.flags & ~abi::kUpdateOutlived);
    }
    if (!why_not.empty()) {
      change.set_text(active_of(*members.front())->slot->reason,
                      fmt::format("outlived was not replaced: {}", why_not));
    }
    change.commit();
  }
  for (const abi::ServiceSlot* service : members) {
    Active& update = *active_of(*service);
    update.timeline.end("outlived", "replace", now());
    if (!host_.alive(update.slot->old)) host_start_anew(update);
  }
}

// One that can't is enough: everyone goes on as before, the last one first.
void Updates::cancel_host(const Active& first, int code, const std::string& reason) {
  const std::string why = fmt::format("service '{}': {}", first.service->name, reason);
  std::vector<abi::ServiceSlot*> members = host_members(true);
  std::ranges::reverse(members);
  for (const abi::ServiceSlot* service : members) {  // first of all: nobody takes a step any more
    Active& update = *active_of(*service);
    update.cancelling = true;
    update.code = code;
    update.reason = why;
    update.waiting.clear();
    update.deadline_ns = 0;
    update.timeline.begin("outlived", "cancel", now());
  }
  log_warning("update of the host cancelled: {}", why);
  for (const abi::ServiceSlot* service : members) {
    if (Active* update = active_of(*service)) end_cancel(*update);
  }
}

bool Updates::cancelled_for_all(const abi::ServiceSlot& service, uint64_t id) {
  const abi::UpdateSlot* slot = find(id);
  return slot != nullptr && slot->service == services_.address_of(service) && is_of_host(*slot) &&
         slot->step == static_cast<uint64_t>(UpdateStep::kCancelled);
}

bool Updates::restarts(const abi::ServiceSlot& service) {
  const Active* update = active_of(service);
  return update != nullptr && of_host(*update) && service.current.pid == 0 &&
         update->slot->step == static_cast<uint64_t>(UpdateStep::kCommit);
}

State Updates::host_state() {
  State state = State::kNormal;
  for (const abi::ServiceSlot* service : host_members(false)) {
    state = std::max(state, static_cast<State>(active_of(*service)->slot->state));
  }
  return state;
}

}  // namespace outlive::luo
