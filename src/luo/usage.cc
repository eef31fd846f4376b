#include "luo/usage.h"

namespace outlive::luo {

std::map<uint64_t, Usage> usage_by_uid(Records& records) {
  std::map<uint64_t, Usage> users;
  records.for_each<abi::SessionSlot>([&](abi::SessionSlot& slot) {
    Usage& user = users[slot.uid];
    ++user.sessions;
    user.bytes += sizeof slot;
  });
  records.for_each<abi::FileSlot>([&](abi::FileSlot& slot) {
    const auto* session = records.find<abi::SessionSlot>(slot.session);
    if (session == nullptr) return;  // its session is being ended
    Usage& user = users[session->uid];
    ++user.files;
    user.bytes += sizeof slot;
  });
  records.for_each<abi::ConnectionSlot>([&](abi::ConnectionSlot& slot) {
    Usage& user = users[slot.uid];
    ++user.connections;
    user.bytes += sizeof slot;
  });
  records.for_each<abi::ClientSubtreeSlot>([&](abi::ClientSubtreeSlot& slot) {
    Usage& user = users[slot.uid];
    ++user.subtrees;
    user.bytes += sizeof slot + slot.size;
  });
  records.for_each<abi::ServiceSlot>([&](abi::ServiceSlot& slot) {
    Usage& user = users[slot.uid];
    ++user.services;
    user.bytes += sizeof slot + slot.spec_size + slot.previous_spec_size;
  });
  return users;
}

}  // namespace outlive::luo
