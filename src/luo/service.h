// Services: the records of what outlived starts, watches and updates.
//
// Happy path:   create -> starting -> running -> (update: the successor becomes `current`) -> ...
// Unhappy path: the process dies: its sessions turn incoming (generation_passed), the supervisor
//               starts the next one, which is offered them.
// The launch specification is opaque here: bytes in a folio (owner kOwnerService).
#pragma once

#include <string>
#include <string_view>

#include "luo/session.h"

namespace outlive::luo {

class Services {
 public:
  explicit Services(Context& context) : context_(context) {}
  // EUCLEAN: names without end, two services of one name, a specification outside the arena.
  Status load();

  // EINVAL: the name; EEXIST: the uid has one of that name.
  Result<abi::ServiceSlot*> create(Change& change, const Caller& caller, std::string_view name);
  // The caller's own; root finds every uid's, its own first.
  abi::ServiceSlot* find(const Caller& caller, std::string_view name);
  abi::ServiceSlot* at(uint64_t address) {
    return context_.records->find<abi::ServiceSlot>(address);
  }
  void for_each(const std::function<void(abi::ServiceSlot&)>& visit) {
    context_.records->for_each<abi::ServiceSlot>(visit);
  }
  uint64_t address_of(const abi::ServiceSlot& slot) const {
    return context_.records->address_of(&slot);
  }

  // What those of a user take of the arena: records, specifications, and what is kept of updates.
  // Walks all services and updates after one of them has changed, else O(1).
  uint64_t arena_bytes_of(uint64_t uid);
  // Of that a specification.
  static uint64_t spec_bytes(uint64_t address, uint64_t size) {
    return address == 0 ? 0 : kho::folio_bytes(size);
  }

  // The generation that served is gone: what it had is incoming for the next one.
  void generation_passed(Change& change, abi::ServiceSlot& service);
  // Every incoming session becomes outgoing, in one store.
  void adopt_all(Change& change, abi::ServiceSlot& service);

  // Bytes that records may name; given back by free_blob, or by load() when nothing names them.
  Result<kho::Phys> make_blob(std::string_view bytes);
  std::string read_blob(uint64_t address, uint64_t size) const;
  void free_blob(uint64_t address);

 private:
  void recount();
  Context& context_;
  std::unordered_map<uint64_t, uint64_t> arena_bytes_;  // by uid
  uint64_t counted_at_ = UINT64_MAX;                    // changes of services and updates
};

}  // namespace outlive::luo
