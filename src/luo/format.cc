#include "luo/format.h"

#include <string.h>

#include "abi/luo.h"
#include "base/log.h"
#include "kho/blocks.h"
#include "kho/fdt.h"
#include "kho/kernel_blobs.h"

namespace outlive::luo {
namespace {

constexpr size_t kMostFdt = 1024;

Result<kho::Phys> write_files(kho::Arena& arena, const Session& session) {
  kho::BlockWriter blocks(arena, abi::kOwnerLuoFormat, sizeof(abi::LuoFile));
  for (const abi::FileSlot* slot : session.files.ordered()) {
    abi::LuoFile file{};
    memcpy(file.compatible, slot->compatible, sizeof file.compatible);
    file.data = slot->data;
    file.token = slot->token;
    TRY(blocks.append(file));
  }
  return blocks.commit();
}

Result<kho::Phys> write_sessions(Core& core) {
  kho::Arena& arena = core.records().arena();
  kho::BlockWriter blocks(arena, abi::kOwnerLuoFormat, sizeof(abi::LuoSession));
  std::vector<Session*> sessions;
  core.sessions().for_each([&](Session& session) { sessions.push_back(&session); });
  for (const Session* session : sessions) {
    abi::LuoSession entry{};
    memcpy(entry.name, session->name.data(), session->name.size());
    const kho::Phys files = TRY(write_files(arena, *session));
    entry.file_set = {files.value, session->files.size()};
    TRY(blocks.append(entry));
  }
  return blocks.commit();
}

Result<kho::Phys> write_flbs(Core& core) {
  kho::BlockWriter blocks(core.records().arena(), abi::kOwnerLuoFormat, sizeof(abi::LuoFlb));
  std::vector<abi::LuoFlb> entries;
  core.records().for_each<abi::FlbSlot>([&](abi::FlbSlot& slot) {
    abi::LuoFlb entry{};
    memcpy(entry.name, slot.compatible, sizeof entry.name);
    entry.data = slot.data;
    entry.count = core.flbs().holders(core.records().address_of(&slot));
    entries.push_back(entry);
  });
  for (const abi::LuoFlb& entry : entries) TRY(blocks.append(entry));
  return blocks.commit();
}

}  // namespace

Status write_kernel_format(Core& core) {
  kho::Arena& arena = core.records().arena();
  std::set<uint64_t> stale;
  arena.for_each_live([&](kho::Phys page, unsigned, uint16_t owner, uint32_t) {
    if (owner == abi::kOwnerLuoFormat) stale.insert(page.value);
  });
  const auto is_old = [&](kho::Phys page) { return stale.contains(page.value); };
  // What a failure leaves half written is none of the old blocks: it goes.
  const auto give_up = [&](const Error& error) {
    arena.sweep(abi::kOwnerLuoFormat, is_old);
    return error;
  };
  const Result<kho::Phys> sessions = write_sessions(core);
  if (!sessions) return give_up(sessions.error());
  const Result<kho::Phys> flbs = write_flbs(core);
  if (!flbs) return give_up(flbs.error());

  kho::FdtBuilder fdt(kMostFdt);
  fdt.set_string(0, abi::kPropCompatible, abi::kLuoCompatible);
  fdt.set_word(0, abi::kPropLiveUpdateNumber, core.records().root().live_update_number);
  const int flb = fdt.add_node(abi::kNodeLuoFlb);
  fdt.set_string(flb, abi::kPropCompatible, abi::kLuoFlbCompatible);
  fdt.set_word(flb, abi::kPropLuoFlbHeader, flbs->value);
  const int session = fdt.add_node(abi::kNodeLuoSession);
  fdt.set_string(session, abi::kPropCompatible, abi::kLuoSessionCompatible);
  fdt.set_word(session, abi::kPropLuoSessionHeader, sessions->value);
  const Result<std::vector<std::byte>> bytes = fdt.finish();
  if (!bytes) return give_up(bytes.error());
  const Result<kho::Phys> blob =
      core.fdt().find_subtree(abi::kSubtreeLuo)
          ? core.fdt().replace_subtree_blob(abi::kSubtreeLuo, *bytes, kho::BlobFormat::kFdt)
          : core.fdt().add_subtree_blob(abi::kSubtreeLuo, *bytes, kho::BlobFormat::kFdt);
  if (!blob) return give_up(blob.error());
  arena.sweep(abi::kOwnerLuoFormat, [&](kho::Phys page) { return !is_old(page); });
  core.context().kernel_format = true;
  return {};
}

void drop_kernel_format(Context& context) {
  context.kernel_format = false;
  kho::RootFdt& fdt = context.records->fdt();
  // The blob first: a death in between leaves blocks that nothing reaches, and attach sweeps.
  if (fdt.find_subtree(abi::kSubtreeLuo)) {
    const Status removed = fdt.remove_subtree_blob(abi::kSubtreeLuo);
    if (!removed) log_warning("subtree 'LUO': {}", removed.error().message);
  }
  context.records->arena().sweep(abi::kOwnerLuoFormat, [](kho::Phys) { return false; });
}

Result<std::set<uint64_t>> kernel_format_pages(Records& records) {
  std::set<uint64_t> pages;
  const auto subtree = records.fdt().find_subtree(abi::kSubtreeLuo);
  if (!subtree) return pages;
  kho::Arena& arena = records.arena();
  const std::byte* bytes = arena.at(subtree->data, subtree->size);
  if (bytes == nullptr) return fail(EUCLEAN, "LUO: its blob is outside the arena");
  const kho::LuoBlob blob = TRY(kho::parse_luo_blob({bytes, subtree->size}));
  const auto is_block = [&](kho::Phys page) { return arena.is_live(page, abi::kOwnerLuoFormat); };
  const auto add = [&](kho::Phys first, size_t entry_size) -> Status {
    const auto chain =
        TRY(kho::block_chain(arena.view(), first, entry_size, ~uint64_t{0}, is_block));
    for (const kho::Phys page : chain) {
      if (!pages.insert(page.value).second) return fail(EUCLEAN, "LUO: a block is chained twice");
    }
    return {};
  };
  if (blob.flbs) TRY(add(*blob.flbs, sizeof(abi::LuoFlb)));
  if (!blob.sessions) return pages;
  TRY(add(*blob.sessions, sizeof(abi::LuoSession)));
  TRY(kho::read_blocks(arena, abi::kOwnerLuoFormat, *blob.sessions, sizeof(abi::LuoSession),
                       ~uint64_t{0}, [&](std::span<const std::byte> entry) -> Status {
                         abi::LuoSession session{};
                         memcpy(&session, entry.data(), sizeof session);
                         return add(kho::Phys{session.file_set.files}, sizeof(abi::LuoFile));
                       }));
  return pages;
}

}  // namespace outlive::luo
