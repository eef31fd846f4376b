#include "luo/session.h"

#include <string.h>

#include <algorithm>

#include "luo/arena_quota.h"

namespace outlive::luo {

namespace {

// Length of the UTF-8 sequence that starts at `text`, 0 when it is not well-formed (RFC 3629).
size_t utf8_length(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  const size_t length = first >= 0xf0 && first <= 0xf4 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  if (first == 0xe0 && byte(1) < 0xa0) return 0;
  if (first == 0xed && byte(1) > 0x9f) return 0;
  if (first == 0xf0 && byte(1) < 0x90) return 0;
  if (first == 0xf4 && byte(1) > 0x8f) return 0;
  return length;
}

}  // namespace

Status check_name(std::string_view name) {
  if (name.empty()) return fail(EINVAL, "the name is empty");
  if (name.size() >= abi::kSessionNameLength) {
    return fail(EINVAL, "the name '{}...' has {} bytes, at most {} are allowed", name.substr(0, 16),
                name.size(), abi::kSessionNameLength - 1);
  }
  for (std::string_view rest = name; !rest.empty();) {
    const size_t length = utf8_length(rest);
    if (length == 0) return fail(EINVAL, "the name is not UTF-8");
    const auto first = static_cast<unsigned char>(rest[0]);
    if (first < 0x20 || first == 0x7f) return fail(EINVAL, "the name has a control character");
    rest.remove_prefix(length);
  }
  return {};
}

Result<std::string> name_from_field(const uint8_t (&field)[abi::kSessionNameLength]) {
  const size_t length = strnlen(reinterpret_cast<const char*>(field), sizeof field);
  if (length == sizeof field) return fail(EINVAL, "the name has no NUL in its 64 bytes");
  std::string name(reinterpret_cast<const char*>(field), length);
  TRY(check_name(name));
  return name;
}

void FileList::add(abi::FileSlot& slot) {
  by_token_[slot.token] = static_cast<uint32_t>(order_.size());
  order_.push_back(&slot);
}

void FileList::remove(abi::FileSlot& slot) {
  const auto found = by_token_.find(slot.token);
  if (found == by_token_.end()) return;
  order_[found->second] = nullptr;
  by_token_.erase(found);
  if (order_.size() < 64 || by_token_.size() * 2 > order_.size()) return;
  std::erase(order_, nullptr);
  for (uint32_t i = 0; i < order_.size(); ++i) by_token_[order_[i]->token] = i;
}

abi::FileSlot* FileList::find(uint64_t token) const {
  const auto found = by_token_.find(token);
  return found == by_token_.end() ? nullptr : order_[found->second];
}

std::vector<abi::FileSlot*> FileList::ordered() const {
  std::vector<abi::FileSlot*> list;
  list.reserve(by_token_.size());
  std::copy_if(order_.begin(), order_.end(), std::back_inserter(list),
               [](const abi::FileSlot* slot) { return slot != nullptr; });
  return list;
}

std::string Sessions::key(uint64_t uid, std::string_view name) {
  return fmt::format("{}/{}", uid, name);
}

Status Sessions::load() {
  Status status;
  context_.records->for_each<abi::SessionSlot>([&](abi::SessionSlot& slot) {
    if (strnlen(slot.name, sizeof slot.name) == sizeof slot.name) {
      status = fail(EUCLEAN, "session {:#x}: its name has no end", slot.header.id);
    } else if (slot.service != 0 &&
               context_.records->find<abi::ServiceSlot>(slot.service) == nullptr) {
      status = fail(EUCLEAN, "session '{}': its service is no record", slot.name);
    } else {
      index(slot);
    }
  });
  if (!status) return status;
  std::vector<abi::FileSlot*> files;
  context_.records->for_each<abi::FileSlot>([&](abi::FileSlot& slot) { files.push_back(&slot); });
  std::sort(files.begin(), files.end(),
            [](const auto* a, const auto* b) { return a->order < b->order; });
  for (abi::FileSlot* slot : files) {
    Session* session = at(slot->session);
    // A file whose session is gone is not an error: removing many files takes several changes.
    if (session == nullptr) continue;
    if (session->files.find(slot->token) != nullptr) {
      return fail(EUCLEAN, "session '{}': token {:#x} twice", session->name, slot->token);
    }
    session->files.add(*slot);
  }
  return {};
}

Direction Sessions::direction(const Session& session) const {
  if (session.slot->service == 0) {
    return session.slot->generation == abi::kIncomingGeneration ? Direction::kIncoming
                                                                : Direction::kOutgoing;
  }
  const auto* service = context_.records->find<abi::ServiceSlot>(session.slot->service);
  if (service == nullptr) return Direction::kOutgoing;
  return session.slot->generation < service->outgoing_from ? Direction::kIncoming
                                                           : Direction::kOutgoing;
}

Direction Sessions::direction(const Session& session, const Caller& caller) const {
  if (session.slot->service != 0 && session.slot->service == caller.service) {
    const auto* service = context_.records->find<abi::ServiceSlot>(caller.service);
    // A successor: all that the serving generation has is what it will inherit.
    if (service != nullptr && caller.generation > service->generation) {
      return session.slot->generation < caller.generation ? Direction::kIncoming
                                                          : Direction::kOutgoing;
    }
  }
  return direction(session);
}

Result<abi::SessionSlot*> Sessions::create(Change& change, const Caller& caller,
                                           std::string_view name, uint64_t flags) {
  if (!context_.names_are_bytes) TRY(check_name(name));
  const auto range = by_name_.equal_range(key(caller.uid, name));
  for (auto it = range.first; it != range.second; ++it) {
    if (direction(*it->second, caller) == Direction::kOutgoing) {
      return fail(EEXIST, "session '{}' exists", name);
    }
  }
  if (count_of(caller.uid) >= context_.limits_of(caller.uid).sessions) {
    return fail(EDQUOT, "session '{}': uid {} has {} sessions, the limit is {}", name, caller.uid,
                count_of(caller.uid), context_.limits_of(caller.uid).sessions);
  }
  TRY(context_.arena_quota->room(caller.uid, sizeof(abi::SessionSlot))
          .context("session '{}'", name));
  auto* slot = TRY(change.add<abi::SessionSlot>().context("session '{}'", name));
  memcpy(slot->name, name.data(), name.size());
  slot->uid = caller.uid;
  slot->service = caller.service;
  slot->generation = caller.service != 0 ? caller.generation : 0;
  slot->flags = flags;
  slot->created_ns = context_.clock->realtime_ns();
  return slot;
}

bool Sessions::sees(const Caller& caller, const Session& session) const {
  if (caller.owns(session.uid)) return true;
  return (session.slot->flags & abi::kSessionInternal) == 0 &&
         context_.grants.allows(caller, session.uid, session.name);
}

Result<Session*> Sessions::retrieve(const Caller& caller, std::string_view name) {
  if (!context_.names_are_bytes) TRY(check_name(name));
  Session* found = TRY(retrieve_of(caller.uid, caller, name));
  if (found != nullptr) return found;
  for (const uint64_t owner : context_.grants.owners(caller, name)) {
    found = TRY(retrieve_of(owner, caller, name));
    if (found != nullptr) return found;
  }
  return fail(ENOENT, "no incoming session '{}'", name);
}

Result<Session*> Sessions::retrieve_of(uint64_t owner, const Caller& caller,
                                       std::string_view name) {
  const auto range = by_name_.equal_range(key(owner, name));
  for (auto it = range.first; it != range.second; ++it) {
    Session& session = *it->second;
    if (session.slot->flags & abi::kSessionInternal) continue;
    if (session.slot->service != caller.service && session.slot->service != 0) continue;
    if (direction(session, caller) != Direction::kIncoming) continue;
    for (const Holder& holder : session.holders) {
      if (holder.generation == caller.generation) {
        return fail(EINVAL, "session '{}' was retrieved already", name);
      }
    }
    return &session;
  }
  return nullptr;
}

Session* Sessions::find_of(uint64_t owner, std::string_view name) {
  Session* found = nullptr;
  const auto range = by_name_.equal_range(key(owner, name));
  for (auto it = range.first; it != range.second; ++it) {
    if (found == nullptr || direction(*it->second) == Direction::kOutgoing) found = it->second;
  }
  return found;
}

Session* Sessions::find(const Caller& caller, std::string_view name) {
  Session* found = find_of(caller.uid, name);
  if (found != nullptr) return found;
  for (const uint64_t owner : context_.grants.owners(caller, name)) {
    found = find_of(owner, name);
    if (found != nullptr && sees(caller, *found)) return found;
  }
  if (caller.uid != 0) return nullptr;
  for (auto& [address, session] : by_slot_) {  // root sees every uid's
    if (session->name == name) return session.get();
  }
  return nullptr;
}

Session* Sessions::of_service(const Caller& caller, std::string_view name) {
  const auto range = by_name_.equal_range(key(caller.uid, name));
  for (auto it = range.first; it != range.second; ++it) {
    const abi::SessionSlot& slot = *it->second->slot;
    if (slot.service == caller.service && (slot.flags & abi::kSessionInternal) == 0 &&
        slot.generation < caller.generation) {
      return it->second;
    }
  }
  return nullptr;
}

Session* Sessions::at(uint64_t slot_address) {
  const auto found = by_slot_.find(slot_address);
  return found == by_slot_.end() ? nullptr : found->second.get();
}

void Sessions::for_each(const std::function<void(Session&)>& visit) {
  std::vector<Session*> list;
  list.reserve(by_slot_.size());
  for (auto& [address, session] : by_slot_) list.push_back(session.get());
  std::sort(list.begin(), list.end(),
            [](const auto* a, const auto* b) { return a->slot->header.id < b->slot->header.id; });
  for (Session* session : list) visit(*session);
}

Session& Sessions::index(abi::SessionSlot& slot) {
  auto session = std::make_unique<Session>();
  Session& made = *session;
  made.slot = &slot;
  made.address = context_.records->address_of(&slot);
  made.uid = slot.uid;
  made.name = slot.name;
  by_name_.emplace(key(made.uid, made.name), &made);
  ++by_uid_[made.uid];
  by_slot_[made.address] = std::move(session);
  return made;
}

void Sessions::drop_holder(Session& session, uint64_t connection) {
  std::erase_if(session.holders, [&](const Holder& h) { return h.connection == connection; });
}

void Sessions::forget(Session& session) {
  const auto range = by_name_.equal_range(key(session.uid, session.name));
  for (auto it = range.first; it != range.second; ++it) {
    if (it->second == &session) {
      by_name_.erase(it);
      break;
    }
  }
  --by_uid_[session.uid];
  by_slot_.erase(session.address);
}

uint64_t Sessions::count_of(uint64_t uid) const {
  const auto found = by_uid_.find(uid);
  return found == by_uid_.end() ? 0 : found->second;
}

}  // namespace outlive::luo
