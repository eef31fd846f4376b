// KhoDump, the read-only view of the live arena, and KhoSave, a copy of it. Compiled only with
// OUTLIVE_KHO_DEBUG.
#ifdef OUTLIVE_KHO_DEBUG

#include <xxhash.h>

#include <algorithm>

#include "abi/flight_recorder.h"
#include "base/sys.h"
#include "daemon/methods.h"
#include "kho/dump.h"
#include "kho/image_copy.h"
#include "kho/reserve_mem.h"
#include "luo/format.h"

namespace outlive::daemon {

using wire::Json;

namespace {

constexpr size_t kMostFolios = 1000;  // of one answer

// What a digest speaks of: what clients have in here. The orchestrator's own bookkeeping (its log,
// timelines, the record of the update that was cancelled) goes on and is no part of it.
bool is_clients(const kho::Folio& folio, uint64_t recorder) {
  switch (folio.owner) {
    case abi::kOwnerRecords:
    case abi::kOwnerTimeline:
    case abi::kOwnerService:
    case abi::kOwnerLuoFormat:
    case abi::kOwnerSubtree:
      return false;
    default:
      return folio.head.value != recorder;
  }
}

std::string digest_of(luo::Core& core, const kho::ArenaDump& dump, const kho::View& view,
                      uint64_t recorder) {
  std::vector<kho::Folio> folios;
  std::copy_if(dump.folios.begin(), dump.folios.end(), std::back_inserter(folios),
               [&](const kho::Folio& folio) { return is_clients(folio, recorder); });
  std::string records;
  core.sessions().for_each([&](luo::Session& session) {
    records += fmt::format("{} {:x} {} {}\n", session.uid, session.slot->header.id, session.name,
                           static_cast<int>(core.sessions().direction(session)));
    for (const abi::FileSlot* slot : session.files.ordered()) {
      records += fmt::format(" {:x} {} {:x} {} {}\n", slot->token, slot->fd, slot->data,
                             slot->order, slot->compatible);
    }
  });
  core.subtrees().for_each([&](const abi::ClientSubtreeSlot& slot) {
    records += fmt::format("{} {} {:x} {}\n", slot.uid, slot.name, slot.address, slot.size);
  });
  return fmt::format("{}{:016x}", kho::memory_digest(view, folios),
                     XXH3_64bits(records.data(), records.size()));
}

std::string hex(const std::vector<std::byte>& bytes) {
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const std::byte one : bytes) text += fmt::format("{:02x}", static_cast<unsigned>(one));
  return text;
}

}  // namespace

Result<std::optional<Json>> Methods::kho_dump(const luo::Caller& caller, const Json& parameters,
                                              Waiting&) {
  if (caller.uid != 0 && caller.uid != geteuid()) {
    return fail(EPERM, "a dump shows everybody's: it is for root and outlived's own user");
  }
  const bool digest_only = TRY(wire::param<bool>(parameters, "digest_only"));
  const auto after = TRY(wire::param<std::optional<std::string>>(parameters, "after"));
  uint64_t from = 0;
  if (after) from = TRY(wire::hex_param(parameters, "after"));
  if (!digest_only && !after) TRY(luo::write_kernel_format(parts_.core).context("LUO subtree"));
  const kho::View view = parts_.arena.view();
  const kho::ArenaDump dump = TRY(kho::dump(view, false));
  const kho::ReserveMem reserved = TRY(kho::ReserveMem::open(parts_.arena));
  const auto recorder = reserved.find(abi::kRecorderRegion);
  const std::string digest =
      digest_of(parts_.core, dump, view, recorder ? recorder->start.value : 0);
  if (digest_only) return std::optional(Json{{"digest", digest}});
  Json subtrees = Json::array();
  for (const kho::Subtree& one : dump.subtrees) {
    subtrees.push_back(
        Json{{"name", one.name}, {"address", wire::hex_text(one.data.value)}, {"size", one.size}});
  }
  Json folios = Json::array();
  Json next;
  for (const kho::Folio& folio : dump.folios) {
    if (after && folio.head.value <= from) continue;
    if (folios.size() == kMostFolios) {
      next = folios.back()["address"];
      break;
    }
    folios.push_back(Json{{"address", wire::hex_text(folio.head.value)},
                          {"order", folio.order},
                          {"owner", kho::owner_name(folio.owner)}});
  }
  // What clients have added: records of their own, one a uid and name.
  Json notes = Json::array();
  parts_.core.subtrees().for_each([&](const abi::ClientSubtreeSlot& slot) {
    notes.push_back(Json{{"uid", slot.uid},
                         {"name", slot.name},
                         {"address", wire::hex_text(slot.address)},
                         {"size", slot.size}});
  });
  return std::optional(Json{{"digest", digest},
                            {"root_fdt_hex", hex(dump.root_fdt)},
                            {"subtrees", std::move(subtrees)},
                            {"folios", std::move(folios)},
                            {"notes", std::move(notes)},
                            {"tracker_matches", dump.tracker_difference == 0},
                            {"corrections", parts_.corrected.leaks()},
                            {"next", next}});
}

Result<std::optional<Json>> Methods::kho_save(const luo::Caller& caller, const Json& parameters,
                                              Waiting&) {
  if (caller.uid != 0 && caller.uid != geteuid()) {
    return fail(EPERM, "an image has everybody's: it is for root and outlived's own user");
  }
  const bool done = TRY(wire::param<bool>(parameters, "done"));
  saved_.reset();
  if (done) return std::optional(Json{{"pid", nullptr}, {"fd", nullptr}});
  // In memory, and not into a file of the caller's choice: a disk may be slow, and nobody waits.
  saved_ = TRY(kho::private_copy(parts_.arena.file()));
  TRY(sys::add_seals(saved_, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL));
  return std::optional(Json{{"pid", ::getpid()}, {"fd", saved_.get()}});
}

}  // namespace outlive::daemon

#endif
