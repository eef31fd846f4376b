#include "luo/flb.h"

#include <string.h>

#include <algorithm>

#include "base/check.h"
#include "base/mutant.h"

namespace outlive::luo {

Status Flbs::load() {
  Status status;
  context_.records->for_each<abi::FileSlot>([&](abi::FileSlot& file) {
    if (file.flb == 0) return;
    if (context_.records->find<abi::FlbSlot>(file.flb) == nullptr) {
      status = fail(EUCLEAN, "file {:#x}: its global state is no record", file.token);
    }
    ++holders_[file.flb];
  });
  return status;
}

abi::FlbSlot* Flbs::find(const Flb& flb, bool incoming) {
  abi::FlbSlot* found = nullptr;
  context_.records->for_each<abi::FlbSlot>([&](abi::FlbSlot& slot) {
    const bool is_incoming = (slot.flags & abi::kFlbIncoming) != 0;
    if (is_incoming == incoming && strncmp(slot.compatible, flb.compatible(), 48) == 0) {
      found = &slot;
    }
  });
  return found;
}

Result<uint64_t> Flbs::hold(Change& change, Flb& flb) {
  if (fresh_of_ == &flb && fresh_change_ == change.number()) {
    if (!mutant("flb-off-by-one")) ++holders_[fresh_];
    return fresh_;
  }
  abi::FlbSlot* slot = find(flb, false);
  if (slot == nullptr) {
    slot = TRY(change.add<abi::FlbSlot>().context("global state '{}'", flb.compatible()));
    // A failed preserve leaves the slot to the change, which the caller then drops.
    slot->data = TRY(flb.preserve().context("global state '{}'", flb.compatible()));
    strncpy(slot->compatible, flb.compatible(), sizeof slot->compatible - 1);
    fresh_ = context_.records->address_of(slot);
    fresh_of_ = &flb;
    fresh_change_ = change.number();
    holders_[fresh_] = 0;
  }
  const uint64_t address = context_.records->address_of(slot);
  ++holders_[address];
  return address;
}

void Flbs::abandon(Flb& flb, uint64_t address) {
  if (--holders_[address] != 0) return;
  holders_.erase(address);
  flb.unpreserve(reinterpret_cast<abi::FlbSlot*>(
                     context_.records->arena().at(kho::Phys{address}, sizeof(abi::FlbSlot)))
                     ->data);
  fresh_of_ = nullptr;
}

Flbs::Last Flbs::release(Change& change, Flb& flb, uint64_t address) {
  auto* slot = context_.records->find<abi::FlbSlot>(address);
  if (slot == nullptr || --holders_[address] != 0) return {};
  holders_.erase(address);
  retrieved_.erase(address);
  const Last last{&flb, slot->data};
  change.remove(*slot);
  return last;
}

Result<uint64_t> Flbs::get(Flb& flb, bool incoming) {
  abi::FlbSlot* slot = find(flb, incoming);
  if (slot == nullptr) return fail(ENOENT, "no global state '{}'", flb.compatible());
  const uint64_t address = context_.records->address_of(slot);
  CHECK(!locked_[address]);
  if (slot->failed != 0) {
    return fail(static_cast<int>(slot->failed), "global state '{}': its retrieve failed before",
                flb.compatible());
  }
  if (incoming && !retrieved_[address]) {
    if (const Status done = flb.retrieve(slot->data); !done) {
      Change change(*context_.records);
      change.set(slot->failed, static_cast<uint64_t>(done.error().code));
      change.commit();
      return done.error();
    }
    retrieved_[address] = true;
  }
  locked_[address] = true;
  return slot->data;
}

void Flbs::put(Flb& flb, bool incoming) {
  abi::FlbSlot* slot = find(flb, incoming);
  CHECK(slot != nullptr);
  locked_[context_.records->address_of(slot)] = false;
}

uint64_t Flbs::holders(uint64_t address) const {
  const auto found = holders_.find(address);
  return found == holders_.end() ? 0 : found->second;
}

bool Flbs::belongs(uint64_t address, const Flb* flb) const {
  const auto* slot = context_.records->find<abi::FlbSlot>(address);
  return slot != nullptr && flb != nullptr &&
         strncmp(slot->compatible, flb->compatible(), sizeof slot->compatible) == 0;
}

std::vector<Flbs::Held> Flbs::held_by(const std::vector<abi::FileSlot*>& files) {
  std::vector<Held> held;
  for (const abi::FileSlot* file : files) {
    auto* slot = file->flb != 0 ? context_.records->find<abi::FlbSlot>(file->flb) : nullptr;
    const auto same = [slot](const Held& one) { return one.slot == slot; };
    if (slot == nullptr || std::any_of(held.begin(), held.end(), same)) continue;
    for (const auto& handler : *context_.handlers) {
      if (!belongs(file->flb, handler->flb())) continue;
      held.push_back({handler->flb(), slot});
      break;
    }
  }
  std::sort(held.begin(), held.end(),
            [](const Held& a, const Held& b) { return a.slot->header.id < b.slot->header.id; });
  return held;
}

}  // namespace outlive::luo
