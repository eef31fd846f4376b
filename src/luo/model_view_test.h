// What the real core shows of itself, in the words of the reference model; and what must be true of
// its fds and pages whoever looks.
#pragma once

#include "luo/luo_test.h"
#include "luo/model_test.h"
#include "luo/usage.h"

namespace outlive::luo {

struct ModelView {
  std::map<int, uint64_t> services;  // number -> address
  uint64_t connection = 0;           // ConnectionSlot address of the one client

  int number_of(uint64_t service) const {
    for (const auto& [number, address] : services) {
      if (address == service) return number;
    }
    return service == 0 ? 0 : -1;
  }

  // The same text as Model::text().
  std::string text(kho::Arena& arena, Core& core) const {
    std::vector<std::string> lines;
    core.sessions().for_each([&](Session& session) {
      Model::Session one{.uid = session.uid,
                         .name = session.name,
                         .service = number_of(session.slot->service),
                         .generation = session.slot->service != 0 ? session.slot->generation : 0,
                         .unheld_ns = session.slot->orphaned_ns};
      for (const abi::FileSlot* slot : session.files.ordered()) {
        one.files[slot->token] = {static_cast<int>(slot->fd), 0, false};
        one.order.push_back(slot->token);
      }
      lines.push_back(Model::line(one, core.sessions().direction(session) == Direction::kIncoming));
    });
    core.services().for_each([&](abi::ServiceSlot& slot) {
      lines.push_back(
          Model::line(number_of(arena.address_of(&slot).value),
                      {slot.generation, slot.outgoing_from, slot.updates, slot.rollbacks}));
    });
    core.subtrees().for_each([&](const abi::ClientSubtreeSlot& slot) {
      lines.push_back(Model::line(slot.uid, slot.name, subtree(core, slot)));
    });
    const auto* client = core.records().find<abi::ConnectionSlot>(connection);
    return Model::text(core.records().count(abi::PoolKind::kFlb),
                       client == nullptr ? ~uint64_t{0} : client->sequence, lines);
  }

  // Empty, or what is wrong. `is_open` says which fds are.
  static std::string unopened(Core& core, const std::map<int, FileKind>& open) {
    for (const BorrowedFd fd : core.named_fds()) {
      if (!open.contains(fd.get())) return fmt::format("fd {} is named, not open", fd.get());
    }
    return {};
  }
  static std::string unnamed(Core& core, const std::map<int, FileKind>& open) {
    std::set<int> named;
    for (const BorrowedFd fd : core.named_fds()) named.insert(fd.get());
    for (const auto& [fd, kind] : open) {
      if (!named.contains(fd)) return fmt::format("fd {} is open, not named", fd);
    }
    return {};
  }
  // Each folio has one name, each name has its folio.
  static std::string misplaced(kho::Arena& arena, Core& core) {
    uint64_t lost = 0;
    uint64_t counted = 0;
    arena.for_each_live([&](kho::Phys head, unsigned, uint16_t owner, uint32_t) {
      lost += owner == abi::kOwnerRecords && !core.records().reaches(head);
      counted += owner == abi::kOwnerService || owner == abi::kOwnerTimeline ||
                 owner == abi::kOwnerClients;
    });
    uint64_t reached = core.subtrees().size();
    core.services().for_each(
        [&](abi::ServiceSlot& slot) { reached += (slot.spec != 0) + (slot.previous_spec != 0); });
    core.records().for_each<abi::UpdateSlot>(
        [&](abi::UpdateSlot& slot) { reached += (slot.spec != 0) + (slot.timeline != 0); });
    if (lost == 0 && counted == reached) return {};
    return fmt::format("{} record pages lost, {} folios for {} names", lost, counted, reached);
  }
  // What is compared with quotas is what the records say.
  static std::string miscounted(Core& core) {
    for (const auto& [uid, is] : usage_by_uid(core.records())) {
      const uint64_t sessions = core.sessions().count_of(uid);
      const uint64_t files = core.files().count_of(uid);
      const uint64_t bytes = core.arena_quota().bytes_of(uid);
      if (sessions == is.sessions && files == is.files && bytes == is.arena_bytes) continue;
      return fmt::format("uid {}: {} sessions, {} files, {} bytes are counted of {}, {}, {}", uid,
                         sessions, files, bytes, is.sessions, is.files, is.arena_bytes);
    }
    return {};
  }

 private:
  static std::string subtree(Core& core, const abi::ClientSubtreeSlot& slot) {
    const auto found = core.subtrees().find({.uid = slot.uid}, slot.name);
    if (!found) return "(none)";
    return std::string(reinterpret_cast<const char*>(found->data()), found->size());
  }
};

}  // namespace outlive::luo
