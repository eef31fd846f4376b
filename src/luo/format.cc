#include "luo/format.h"

#include <string.h>

#include <set>

#include "abi/luo.h"
#include "kho/blocks.h"
#include "kho/fdt.h"

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
  return {};
}

}  // namespace outlive::luo
