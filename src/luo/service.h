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

  // The generation that served is gone: what it had is incoming for the next one.
  void generation_passed(Change& change, abi::ServiceSlot& service);
  // Every incoming session becomes outgoing, in one store.
  void adopt_all(Change& change, abi::ServiceSlot& service);

  // Bytes that records may name; given back by free_blob, or by load() when nothing names them.
  Result<kho::Phys> make_blob(std::string_view bytes);
  std::string read_blob(uint64_t address, uint64_t size) const;
  void free_blob(uint64_t address);

 private:
  Context& context_;
};

}  // namespace outlive::luo
