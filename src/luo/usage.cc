#include "luo/usage.h"

namespace outlive::luo {

std::map<uint64_t, Usage> usage_by_uid(Records& records) {
  std::map<uint64_t, Usage> users;
  const auto folio_at = [&](uint64_t address) -> uint64_t {
    const auto folio = records.arena().folio(kho::Phys{address});
    return address != 0 && folio ? folio->bytes() : 0;
  };
  records.for_each<abi::SessionSlot>([&](abi::SessionSlot& slot) {
    Usage& user = users[slot.uid];
    ++user.sessions;
    user.arena_bytes += sizeof slot;
  });
  records.for_each<abi::FileSlot>([&](abi::FileSlot& slot) {
    const auto* session = records.find<abi::SessionSlot>(slot.session);
    if (session == nullptr) return;  // its session is being ended
    Usage& user = users[session->uid];
    ++user.files;
    user.arena_bytes += sizeof slot;
  });
  records.for_each<abi::ConnectionSlot>(
      [&](abi::ConnectionSlot& slot) { ++users[slot.uid].connections; });
  records.for_each<abi::ClientSubtreeSlot>([&](abi::ClientSubtreeSlot& slot) {
    Usage& user = users[slot.uid];
    ++user.subtrees;
    user.subtree_bytes += slot.size;
    user.arena_bytes += sizeof slot + folio_at(slot.address);
  });
  records.for_each<abi::ServiceSlot>([&](abi::ServiceSlot& slot) {
    Usage& user = users[slot.uid];
    ++user.services;
    user.arena_bytes += sizeof slot + folio_at(slot.spec) + folio_at(slot.previous_spec);
  });
  records.for_each<abi::UpdateSlot>([&](abi::UpdateSlot& slot) {
    const auto* service = records.find<abi::ServiceSlot>(slot.service);
    if (service == nullptr) return;
    users[service->uid].arena_bytes += sizeof slot + folio_at(slot.spec) + folio_at(slot.timeline);
  });
  return users;
}

}  // namespace outlive::luo
