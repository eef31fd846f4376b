#include "luo/lease.h"

#include <algorithm>

namespace outlive::luo {

namespace {

bool waits(const Session& session) {
  return session.slot->orphaned_ns != 0 && (session.slot->flags & abi::kSessionInternal) == 0;
}

}  // namespace

void Leases::load() {
  if (!context_.lease_ns) return;
  const uint64_t now = context_.clock->steady_ns();
  sessions_.for_each([&](Session& session) {
    const uint64_t time = waits(session) ? context_.lease_ns(*session.slot) : 0;
    if (time == 0) return;
    const uint64_t since = std::min(session.slot->orphaned_ns, now);
    arm(session, std::max(since + time, now + std::min(time, kGrace)));
  });
}

void Leases::unheld(Change& change, Session& session) {
  change.set(session.slot->orphaned_ns, context_.clock->steady_ns());
  if (session.slot->service == 0) change.set(session.slot->generation, abi::kIncomingGeneration);
}

void Leases::start(Session& session) {
  const uint64_t time = waits(session) && context_.lease_ns ? context_.lease_ns(*session.slot) : 0;
  time != 0 ? arm(session, session.slot->orphaned_ns + time) : disarm(session.address);
}

uint64_t Leases::ends_ns(const Session& session) const {
  const auto found = by_slot_.find(session.address);
  const bool armed = found != by_slot_.end() && found->second.id == session.slot->header.id;
  return armed && waits(session) ? found->second.ends_ns : 0;
}

uint64_t Leases::unheld_for_ns(const Session& session) const {
  const uint64_t now = context_.clock->steady_ns();
  return waits(session) ? now - std::min(session.slot->orphaned_ns, now) : 0;
}

std::vector<Session*> Leases::due() {
  const uint64_t now = context_.clock->steady_ns();
  std::vector<Session*> list;
  while (!by_end_.empty() && by_end_.begin()->first <= now) {
    const uint64_t address = by_end_.begin()->second;
    Session* session = sessions_.at(address);
    const bool still = session != nullptr && ends_ns(*session) != 0;
    disarm(address);
    if (!still) continue;
    const auto* service = context_.records->find<abi::ServiceSlot>(session->slot->service);
    const abi::UpdateSlot* update = service != nullptr ? updates_.active(*service) : nullptr;
    if (update != nullptr && update->step < static_cast<uint64_t>(abi::UpdateStep::kCommit)) {
      arm(*session, now + kBusyPause);
    } else {
      list.push_back(session);
    }
  }
  return list;
}

uint64_t Leases::next_in_ns() const {
  if (by_end_.empty()) return UINT64_MAX;
  const uint64_t now = context_.clock->steady_ns();
  return by_end_.begin()->first - std::min(by_end_.begin()->first, now);
}

void Leases::arm(const Session& session, uint64_t ends_ns) {
  disarm(session.address);
  by_slot_[session.address] = {session.slot->header.id, ends_ns};
  by_end_.emplace(ends_ns, session.address);
}

void Leases::disarm(uint64_t address) {
  const auto found = by_slot_.find(address);
  if (found == by_slot_.end()) return;
  by_end_.erase({found->second.ends_ns, address});
  by_slot_.erase(found);
}

}  // namespace outlive::luo
