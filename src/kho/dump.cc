#include "kho/dump.h"

#include <memory>

#define XXH_STATIC_LINKING_ONLY
#include <xxhash.h>

#include "base/check.h"
#include "base/sys.h"
#include "kho/fdt.h"
#include "kho/image.h"
#include "kho/layout.h"

namespace outlive::kho {

namespace {

std::vector<Folio> live_folios(const View& view, uint64_t high_water) {
  std::vector<Folio> folios;
  for (uint64_t page = first_free_page(view.pages()); page < high_water;) {
    const uint64_t descriptor = descriptor_at(view, page);
    const uint16_t owner = abi::descriptor_owner(descriptor);
    if (abi::descriptor_state(descriptor) == abi::PageState::kLive && owner != abi::kOwnerTracker) {
      folios.push_back({.head = Phys::of_page(page),
                        .order = abi::descriptor_order(descriptor),
                        .state = abi::PageState::kLive,
                        .owner = owner,
                        .tag = abi::descriptor_tag(descriptor)});
    }
    page += order_pages(abi::descriptor_order(descriptor));
  }
  return folios;
}

}  // namespace

Result<ArenaDump> dump(const View& view, bool with_digest) {
  ImageFacts facts = TRY(check_image(view));
  ArenaDump dump;
  dump.compatible = abi::kArenaCompatible;
  dump.size = view.size();
  dump.high_water = facts.high_water;
  dump.epoch = view.header()->epoch;
  dump.root_fdt_page = facts.root_fdt_page;
  dump.tracker_root = facts.tracker_root;
  const std::byte* fdt = view.at(facts.root_fdt_page, abi::kPageSize);
  dump.root_fdt.assign(fdt, fdt + fdt_size({fdt, abi::kPageSize}));
  dump.root_compatible = facts.root_fdt.compatible;
  dump.subtrees = std::move(facts.root_fdt.subtrees);
  dump.folios = live_folios(view, facts.high_water);
  dump.live_pages = facts.live_pages;
  dump.begun_folios = facts.begun.size();
  dump.tracker_pages = facts.tracker.size();
  dump.lost_tracker_pages = facts.tracker.size() - facts.walk.population.size();
  dump.tracker_difference = tracker_difference(view, facts.walk, facts.expected);
  if (with_digest) dump.digest = memory_digest(view, dump.folios);
  return dump;
}

Result<ArenaDump> dump_file(BorrowedFd file, bool with_digest) {
  const struct stat facts = TRY(sys::fstat(file));
  const auto size = static_cast<uint64_t>(facts.st_size);
  if (!S_ISREG(facts.st_mode) || size < abi::kPageSize) {
    return fail(EUCLEAN, "arena: {} bytes are no arena's size", size);
  }
  const sys::Mapping memory = TRY(sys::mmap(size, PROT_READ, MAP_SHARED | MAP_NORESERVE, file));
  const View view(memory.data(), size);
  return dump(view, with_digest);
}

std::string memory_digest(const View& view, const std::vector<Folio>& folios) {
  const std::unique_ptr<XXH3_state_t, XXH_errorcode (*)(XXH3_state_t*)> state(XXH3_createState(),
                                                                              XXH3_freeState);
  CHECK(state != nullptr);
  XXH3_128bits_reset(state.get());
  for (const Folio& folio : folios) {
    const uint64_t facts[2] = {
        folio.head.value, abi::make_descriptor(folio.state, folio.order, folio.owner, folio.tag)};
    XXH3_128bits_update(state.get(), facts, sizeof(facts));
    XXH3_128bits_update(state.get(), view.at(folio.head, folio.bytes()), folio.bytes());
  }
  const XXH128_hash_t hash = XXH3_128bits_digest(state.get());
  return fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
}

std::string owner_name(uint16_t owner) {
  switch (owner) {
    case abi::kOwnerNone:
      return "none";
    case abi::kOwnerMeta:
      return "meta";
    case abi::kOwnerTracker:
      return "tracker";
    case abi::kOwnerSubtree:
      return "subtree";
    case abi::kOwnerReserveMem:
      return "reserve_mem";
    case abi::kOwnerRecords:
      return "records";
    case abi::kOwnerClients:
      return "clients";
    case abi::kOwnerLuoFormat:
      return "luo-format";
    case abi::kOwnerHandler:
      return "handler";
    case abi::kOwnerTimeline:
      return "timeline";
    case abi::kOwnerService:
      return "service";
    default:
      return fmt::format("user {}", owner);
  }
}

}  // namespace outlive::kho
