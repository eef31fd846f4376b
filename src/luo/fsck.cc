#include "luo/fsck.h"

#include <map>
#include <set>

#include "kho/blocks.h"

namespace outlive::luo {
namespace {

// What the records say each owner's folios are.
std::map<uint16_t, std::set<uint64_t>> reached_folios(Core& core) {
  std::map<uint16_t, std::set<uint64_t>> reached;
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
  core.subtrees().for_each(
      [&](const abi::ClientSubtreeSlot& slot) { add(abi::kOwnerClients, slot.address); });
  for (const auto& entry : core.fdt().list()) add(abi::kOwnerSubtree, entry.data.value);
  return reached;
}

void check_pages(Core& core, Findings& findings) {
  auto reached = reached_folios(core);
  core.records().arena().for_each_live(
      [&](kho::Phys folio, unsigned order, uint16_t owner, uint32_t) {
        findings.pages += uint64_t{1} << order;
        switch (owner) {
          case abi::kOwnerRecords:
            if (!core.records().reaches(folio)) {
              findings.lines.push_back(
                  fmt::format("page {:#x}: a record page that no chain reaches", folio.value));
            }
            break;
          case abi::kOwnerService:
          case abi::kOwnerTimeline:
          case abi::kOwnerClients:
          case abi::kOwnerSubtree:
            if (reached[owner].erase(folio.value) == 0) {
              findings.lines.push_back(
                  fmt::format("page {:#x} of owner {}: no record reaches it", folio.value, owner));
            }
            break;
          default:
            break;  // reserve_mem, handlers, users: their own business
        }
      });
  for (const auto& [owner, rest] : reached) {
    if (owner == abi::kOwnerSubtree) continue;  // the FDT also names folios of other owners
    for (const uint64_t address : rest) {
      findings.lines.push_back(fmt::format(
          "address {:#x}: a record of owner {} names it, it is not preserved", address, owner));
    }
  }
}

void check_files(Core& core, const std::function<bool(BorrowedFd)>& is_open, Findings& findings) {
  std::map<int64_t, uint64_t> seen;
  core.records().for_each<abi::FileSlot>([&](abi::FileSlot& slot) {
    ++findings.files;
    const Session* session = core.sessions().at(slot.session);
    if (session == nullptr) {
      findings.lines.push_back(fmt::format("file {:#x}: its session is no record", slot.token));
      return;
    }
    if (session->files.find(slot.token) != &slot) {
      findings.lines.push_back(
          fmt::format("session '{}' file {:#x}: not in its index", session->name, slot.token));
    }
    if (slot.fd < 0 && slot.failed != 0) {
      findings.lines.push_back(
          fmt::format("session '{}' file {:#x}: lost, it was not in the service manager's fd store",
                      session->name, slot.token));
      return;
    }
    if (!is_open(BorrowedFd(static_cast<int>(slot.fd)))) {
      findings.lines.push_back(fmt::format("session '{}' file {:#x}: fd {} is not open",
                                           session->name, slot.token, slot.fd));
    }
    if (!seen.insert({slot.fd, slot.token}).second) {
      findings.lines.push_back(
          fmt::format("fd {} is named by two files ({:#x})", slot.fd, slot.token));
    }
  });
  core.sessions().for_each([&](Session& session) {
    ++findings.sessions;
    for (const abi::FileSlot* slot : session.files.ordered()) {
      if (slot->session == session.address &&
          slot->header.state == static_cast<uint64_t>(abi::SlotState::kLive)) {
        continue;
      }
      findings.lines.push_back(
          fmt::format("session '{}': its index has a file that is no record", session.name));
    }
  });
}

void check_holders(Core& core, Findings& findings) {
  std::map<uint64_t, uint64_t> holders;
  core.records().for_each<abi::FileSlot>([&](abi::FileSlot& slot) {
    if (slot.flb != 0) ++holders[slot.flb];
  });
  core.records().for_each<abi::FlbSlot>([&](abi::FlbSlot& slot) {
    const uint64_t address = core.records().address_of(&slot);
    if (holders[address] == 0) {
      findings.lines.push_back(fmt::format("global state '{}': no file holds it", slot.compatible));
    }
    if (core.flbs().holders(address) != holders[address]) {
      findings.lines.push_back(
          fmt::format("global state '{}': {} holders are counted, {} are there", slot.compatible,
                      core.flbs().holders(address), holders[address]));
    }
  });
}

}  // namespace

Findings fsck(Core& core, const std::function<bool(BorrowedFd)>& is_open) {
  Findings findings;
  check_pages(core, findings);
  check_files(core, is_open, findings);
  check_holders(core, findings);
  return findings;
}

}  // namespace outlive::luo
