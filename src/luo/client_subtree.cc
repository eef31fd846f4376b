#include "luo/client_subtree.h"

#include <string.h>

#include <set>

#include "abi/wire.h"
#include "kho/store.h"
#include "luo/arena_quota.h"

namespace outlive::luo {

using kho::Phys;

Status ClientSubtrees::load() {
  Status status;
  std::set<uint64_t> reached;
  context_.records->for_each<abi::ClientSubtreeSlot>([&](abi::ClientSubtreeSlot& slot) {
    if (strnlen(slot.name, sizeof slot.name) == sizeof slot.name ||
        !context_.records->arena().is_live(Phys{slot.address}, abi::kOwnerClients,
                                           std::max<uint64_t>(slot.size, 1))) {
      status =
          fail(EUCLEAN, "a client's subtree {:#x} points to no preserved folio", slot.header.id);
      return;
    }
    if (!reached.insert(slot.address).second ||
        !index_.emplace(Key{slot.uid, slot.name}, &slot).second) {
      status = fail(EUCLEAN, "a client's subtree '{}' is there twice", slot.name);
      return;
    }
    Usage& usage = usage_[slot.uid];
    ++usage.count;
    usage.bytes += slot.size;
    usage.arena_bytes += arena_bytes(slot.size);
  });
  if (!status) return status;
  context_.records->arena().sweep(abi::kOwnerClients,
                                  [&](Phys folio) { return reached.contains(folio.value); });
  return {};
}

Result<ClientSubtrees::Adding> ClientSubtrees::add(Change& change, const Caller& caller,
                                                   std::string_view name,
                                                   std::span<const std::byte> bytes) {
  TRY(check_name(name));
  if (bytes.size() > abi::kMaxSubtreeBytes) {
    return fail(E2BIG, "subtree '{}': {} bytes, at most {} are allowed", name, bytes.size(),
                abi::kMaxSubtreeBytes);
  }
  Key key{caller.uid, std::string(name)};
  const auto found = index_.find(key);
  const Usage used = usage_[caller.uid];
  const Limits& limits = context_.limits_of(caller.uid);
  const uint64_t replaced = found == index_.end() ? 0 : found->second->size;
  if ((found == index_.end() && used.count >= limits.subtrees) ||
      used.bytes - replaced + bytes.size() > limits.subtree_bytes) {
    return fail(EDQUOT,
                "subtree '{}': uid {} has {} subtrees of {} bytes, the limits are {} and {}", name,
                caller.uid, used.count, used.bytes, limits.subtrees, limits.subtree_bytes);
  }
  const uint64_t takes = arena_bytes(bytes.size());
  const uint64_t gives = found == index_.end() ? 0 : arena_bytes(replaced);
  if (takes > gives) {
    TRY(context_.arena_quota->room(caller.uid, takes - gives).context("subtree '{}'", name));
  }
  kho::Arena& arena = context_.records->arena();
  Adding adding;
  adding.fresh_ = TRY(arena.alloc_preserve(std::max<size_t>(bytes.size(), 1), abi::kOwnerClients)
                          .context("subtree '{}'", name));
  adding.owner_ = this;
  if (!bytes.empty()) {
    kho::store_bytes(arena.at(adding.fresh_, bytes.size()), bytes.data(), bytes.size());
  }
  if (found != index_.end()) {
    adding.slot_ = found->second;
    adding.old_ = Phys{found->second->address};
    change.set(adding.slot_->address, adding.fresh_.value);
    change.set(adding.slot_->size, bytes.size());
  } else {
    auto* slot = TRY(change.add<abi::ClientSubtreeSlot>().context("subtree '{}'", name));
    slot->uid = caller.uid;
    memcpy(slot->name, name.data(), name.size());
    slot->address = adding.fresh_.value;
    slot->size = bytes.size();
    adding.slot_ = slot;
  }
  adding.key_ = std::move(key);
  return adding;
}

Result<ClientSubtrees::Adding> ClientSubtrees::remove(Change& change, const Caller& caller,
                                                      std::string_view name) {
  const auto found = index_.find({caller.uid, std::string(name)});
  if (found == index_.end()) return fail(ENOENT, "no subtree '{}'", name);
  Adding removing;
  removing.owner_ = this;
  removing.old_ = Phys{found->second->address};
  removing.key_ = found->first;
  change.remove(*found->second);
  return removing;
}

ClientSubtrees::Adding::Adding(Adding&& other) noexcept
    : owner_(std::exchange(other.owner_, nullptr)),
      fresh_(other.fresh_),
      old_(other.old_),
      slot_(other.slot_),
      key_(std::move(other.key_)),
      done_(other.done_) {}

ClientSubtrees::Adding::~Adding() {
  if (owner_ == nullptr || done_ || !fresh_.valid()) return;
  owner_->context_.records->arena().restore_free(fresh_);
}

void ClientSubtrees::Adding::committed() {
  done_ = true;
  owner_->index_.erase(key_);
  if (slot_ != nullptr) owner_->index_[key_] = slot_;
  owner_->recount(key_.first);
  if (old_.valid()) owner_->context_.records->arena().restore_free(old_);
}

Result<std::span<const std::byte>> ClientSubtrees::find(const Caller& caller,
                                                        std::string_view name) const {
  const auto found = index_.find({caller.uid, std::string(name)});
  if (found == index_.end()) return fail(ENOENT, "no subtree '{}'", name);
  const std::byte* bytes =
      context_.records->arena().at(Phys{found->second->address}, found->second->size);
  return std::span<const std::byte>(bytes, found->second->size);
}

void ClientSubtrees::recount(uint64_t uid) {
  Usage usage;
  for (auto it = index_.lower_bound({uid, ""}); it != index_.end() && it->first.first == uid;
       ++it) {
    ++usage.count;
    usage.bytes += it->second->size;
    usage.arena_bytes += arena_bytes(it->second->size);
  }
  usage_[uid] = usage;
}

ClientSubtrees::Usage ClientSubtrees::usage_of(uint64_t uid) const {
  const auto found = usage_.find(uid);
  return found == usage_.end() ? Usage{} : found->second;
}

void ClientSubtrees::for_each(
    const std::function<void(const abi::ClientSubtreeSlot&)>& visit) const {
  for (const auto& [key, slot] : index_) visit(*slot);
}

}  // namespace outlive::luo
