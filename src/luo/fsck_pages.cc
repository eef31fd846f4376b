// fsck of pages: whose each one is.
#include <map>
#include <set>

#include "kho/dump.h"
#include "kho/reserve_mem.h"
#include "luo/format.h"
#include "luo/fsck.h"

namespace outlive::luo {
namespace {

using Reached = std::map<uint16_t, std::set<uint64_t>>;

// What the records say each owner's folios are.
Reached reached_folios(Core& core, Findings& findings) {
  Reached reached;
  const auto add = [&](uint16_t owner, uint64_t address) {
    if (address != 0) reached[owner].insert(address);
  };
  core.records().for_each<abi::ServiceSlot>([&](abi::ServiceSlot& slot) {
    add(abi::kOwnerService, slot.spec);
    add(abi::kOwnerService, slot.previous_spec);
  });
  core.records().for_each<abi::UpdateSlot>([&](abi::UpdateSlot& slot) {
    add(abi::kOwnerService, slot.spec);
    add(abi::kOwnerTimeline, slot.timeline);
  });
  core.records().for_each<abi::ClientSubtreeSlot>(
      [&](abi::ClientSubtreeSlot& slot) { add(abi::kOwnerClients, slot.address); });
  for (const auto& entry : core.fdt().list()) {
    // A blob may begin anywhere in its folio; the folios of other owners are named too.
    const auto folio = core.records().arena().folio_of(entry.data);
    if (folio && folio->owner == abi::kOwnerSubtree) add(abi::kOwnerSubtree, folio->head.value);
  }
  const auto format = kernel_format_pages(core.records());
  if (!format) {
    findings.add_derived(
        fmt::format("subtree 'LUO': {}: dumps would show nonsense", format.error().message));
  } else {
    reached[abi::kOwnerLuoFormat] = *format;
  }
  return reached;
}

// Regions of reserved memory are ranges: each is folios from its start to its end.
void add_regions(Core& core, Reached& reached, Findings& findings) {
  const auto subtree = core.fdt().find_subtree(abi::kSubtreeMemblock);
  if (!subtree) return;
  kho::Arena& arena = core.records().arena();
  const std::byte* bytes = arena.at(subtree->data, subtree->size);
  if (bytes == nullptr) return;  // the layer below says so
  const auto regions = kho::parse_memblock({bytes, subtree->size});
  if (!regions) {
    findings.add(
        fmt::format("subtree 'memblock': {}: reserved regions are lost", regions.error().message));
    return;
  }
  for (const auto& region : *regions) {
    kho::Phys at = region.start;
    while (at.value < region.start.value + region.size) {
      reached[abi::kOwnerReserveMem].insert(at.value);
      const auto folio = arena.folio(at);
      if (!folio) break;
      at.value += folio->bytes();
    }
  }
}

// Whether this version has records that name pages of this owner.
bool is_known(uint16_t owner) {
  switch (owner) {
    case abi::kOwnerSubtree:
    case abi::kOwnerReserveMem:
    case abi::kOwnerClients:
    case abi::kOwnerLuoFormat:
    case abi::kOwnerTimeline:
    case abi::kOwnerService:
      return true;
    default:
      return false;
  }
}

}  // namespace

void fsck_pages(Core& core, Findings& findings) {
  Reached reached = reached_folios(core, findings);
  add_regions(core, reached, findings);
  core.records().arena().for_each_live(
      [&](kho::Phys folio, unsigned order, uint16_t owner, uint32_t) {
        findings.pages += uint64_t{1} << order;
        if (owner == abi::kOwnerRecords) {
          if (core.records().reaches(folio)) return;
          findings.add_derived(fmt::format(
              "page {:#x}: a page of records that no chain reaches: leaked", folio.value));
        } else if (!is_known(owner)) {
          findings.add(
              fmt::format("page {:#x}: owner '{}' has no records in this version: nothing "
                          "will ever free it",
                          folio.value, kho::owner_name(owner)));
        } else if (reached[owner].erase(folio.value) == 0) {
          findings.add_derived(
              fmt::format("page {:#x}: preserved for owner '{}', but no record "
                          "names it: leaked",
                          folio.value, kho::owner_name(owner)));
        }
      });
  for (const auto& [owner, rest] : reached) {
    for (const uint64_t address : rest) {
      findings.add(
          fmt::format("address {:#x}: a record names it for '{}', but it is not "
                      "preserved: its bytes are lost with the next attach",
                      address, kho::owner_name(owner)));
    }
  }
}

}  // namespace outlive::luo
