#include "luo/service.h"

#include <string.h>

#include <set>

#include "kho/store.h"

namespace outlive::luo {

using kho::Phys;

Status Services::load() {
  Status status;
  std::set<std::pair<uint64_t, std::string>> names;
  std::set<uint64_t> reached;
  kho::Arena& arena = context_.records->arena();
  const auto reach = [&](uint64_t address, uint64_t size, std::string_view whose) {
    if (address == 0) return;
    if (!arena.is_live(Phys{address}, abi::kOwnerService, std::max<uint64_t>(size, 1)) ||
        !reached.insert(address).second) {
      status =
          fail(EUCLEAN, "{}: its launch specification is no preserved folio of its own", whose);
    }
  };
  for_each([&](abi::ServiceSlot& slot) {
    if (strnlen(slot.name, sizeof slot.name) == sizeof slot.name) {
      status = fail(EUCLEAN, "service {:#x}: its name has no end", slot.header.id);
      return;
    }
    if (!names.insert({slot.uid, slot.name}).second) {
      status = fail(EUCLEAN, "service '{}' twice", slot.name);
      return;
    }
    reach(slot.spec, slot.spec_size, slot.name);
    reach(slot.previous_spec, slot.previous_spec_size, slot.name);
  });
  context_.records->for_each<abi::UpdateSlot>(
      [&](abi::UpdateSlot& slot) { reach(slot.spec, slot.spec_size, "an update"); });
  if (!status) return status;
  arena.sweep(abi::kOwnerService, [&](Phys folio) { return reached.contains(folio.value); });
  return {};
}

Result<abi::ServiceSlot*> Services::create(Change& change, const Caller& caller,
                                           std::string_view name) {
  TRY(check_name(name));
  abi::ServiceSlot* taken = nullptr;
  uint64_t has = 0;
  for_each([&](abi::ServiceSlot& slot) {
    if (slot.uid != caller.uid) return;
    ++has;
    if (slot.name == name) taken = &slot;
  });
  if (taken != nullptr) return fail(EEXIST, "service '{}' exists", name);
  const uint64_t limit = context_.limits_of(caller.uid).services;
  if (has >= limit) {
    return fail(EDQUOT, "service '{}': uid {} has {} services, the limit is {}", name, caller.uid,
                has, limit);
  }
  auto* slot = TRY(change.add<abi::ServiceSlot>().context("service '{}'", name));
  memcpy(slot->name, name.data(), name.size());
  slot->uid = caller.uid;
  slot->gid = caller.gid;
  slot->generation = 1;
  slot->outgoing_from = 1;
  slot->current = {0, -1, 0, 0, -1, -1};
  slot->previous_binary_fd = -1;
  return slot;
}

abi::ServiceSlot* Services::find(const Caller& caller, std::string_view name) {
  abi::ServiceSlot* own = nullptr;
  abi::ServiceSlot* other = nullptr;
  for_each([&](abi::ServiceSlot& slot) {
    if (slot.name != name) return;
    (slot.uid == caller.uid ? own : other) = &slot;
  });
  if (own != nullptr) return own;
  return caller.uid == 0 ? other : nullptr;
}

void Services::generation_passed(Change& change, abi::ServiceSlot& service) {
  change.set(service.generation, service.generation + 1);
  change.set(service.outgoing_from, service.generation + 1);
}

void Services::adopt_all(Change& change, abi::ServiceSlot& service) {
  change.set(service.outgoing_from, 0);
}

uint64_t Services::arena_bytes_of(uint64_t uid) {
  const Records& records = *context_.records;
  const uint64_t changes =
      records.changes_of(abi::PoolKind::kService) + records.changes_of(abi::PoolKind::kUpdate);
  if (changes != counted_at_) recount();
  counted_at_ = changes;
  const auto found = arena_bytes_.find(uid);
  return found == arena_bytes_.end() ? 0 : found->second;
}

void Services::recount() {
  arena_bytes_.clear();
  for_each([&](abi::ServiceSlot& slot) {
    arena_bytes_[slot.uid] += sizeof slot + spec_bytes(slot.spec, slot.spec_size) +
                              spec_bytes(slot.previous_spec, slot.previous_spec_size);
  });
  context_.records->for_each<abi::UpdateSlot>([&](abi::UpdateSlot& slot) {
    const auto* service = at(slot.service);
    if (service == nullptr) return;
    arena_bytes_[service->uid] += sizeof slot + spec_bytes(slot.spec, slot.spec_size) +
                                  (slot.timeline != 0 ? abi::kPageSize : 0);
  });
}

Result<Phys> Services::make_blob(std::string_view bytes) {
  kho::Arena& arena = context_.records->arena();
  const Phys folio =
      TRY(arena.alloc_preserve(std::max<size_t>(bytes.size(), 1), abi::kOwnerService));
  if (!bytes.empty()) {
    kho::store_bytes(arena.at(folio, bytes.size()), bytes.data(), bytes.size());
  }
  return folio;
}

std::string Services::read_blob(uint64_t address, uint64_t size) const {
  const std::byte* bytes = context_.records->arena().at(Phys{address}, size);
  if (address == 0 || bytes == nullptr) return {};
  return std::string(reinterpret_cast<const char*>(bytes), size);
}

void Services::free_blob(uint64_t address) {
  if (address != 0) context_.records->arena().restore_free(Phys{address});
}

}  // namespace outlive::luo
