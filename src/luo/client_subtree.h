// Clients' own small blobs: a service's notes to the next one. They live under the one subtree
// "clients", keyed by uid and name, in folios of their own (owner kOwnerClients).
//
// Adding and removing works in every state, frozen and undefined too: KHO has no such states.
// Replacing an existing name is one change: the old bytes or the new ones, never a mixture.
#pragma once

#include <map>
#include <span>
#include <string>

#include "luo/context.h"

namespace outlive::luo {

class ClientSubtrees {
 public:
  explicit ClientSubtrees(Context& context) : context_(context) {}
  Status load();

  // EINVAL: the name; E2BIG: more than kMaxSubtreeBytes; EDQUOT; ENOSPC. Existing: replaced.
  class Adding {
   public:
    Adding(Adding&& other) noexcept;
    ~Adding();
    void committed();

   private:
    friend class ClientSubtrees;
    Adding() = default;
    ClientSubtrees* owner_ = nullptr;
    kho::Phys fresh_;
    kho::Phys old_;
    abi::ClientSubtreeSlot* slot_ = nullptr;
    std::pair<uint64_t, std::string> key_;
    bool done_ = false;
  };
  Result<Adding> add(Change& change, const Caller& caller, std::string_view name,
                     std::span<const std::byte> bytes);
  // ENOENT. The bytes are given back by committed().
  Result<Adding> remove(Change& change, const Caller& caller, std::string_view name);
  // ENOENT. The bytes stay the arena's.
  Result<std::span<const std::byte>> find(const Caller& caller, std::string_view name) const;
  size_t size() const { return index_.size(); }
  // What the quotas are compared with.
  struct Usage {
    uint64_t count = 0;
    uint64_t bytes = 0;
    uint64_t arena_bytes = 0;  // with the records, and what the folios have more
  };
  Usage usage_of(uint64_t uid) const;
  void for_each(const std::function<void(const abi::ClientSubtreeSlot&)>& visit) const;

  // What one of this size takes of the arena.
  static uint64_t arena_bytes(uint64_t size) {
    return sizeof(abi::ClientSubtreeSlot) + kho::folio_bytes(size);
  }

 private:
  void recount(uint64_t uid);
  using Key = std::pair<uint64_t, std::string>;
  Context& context_;
  std::map<Key, abi::ClientSubtreeSlot*> index_;
  std::map<uint64_t, Usage> usage_;
};

}  // namespace outlive::luo
