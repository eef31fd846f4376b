#include "luo/fsck.h"

#include <string.h>

#include <algorithm>
#include <map>
#include <set>

#include "luo/usage.h"

namespace outlive::luo {
namespace {

constexpr const char* kKindNames[] = {"session", "file",           "connection",  "service",
                                      "update",  "client subtree", "global state"};
static_assert(std::size(kKindNames) == static_cast<size_t>(abi::PoolKind::kCount));

class Check {
 public:
  Check(Core& core, const std::function<bool(BorrowedFd)>& is_open, Findings& findings)
      : core_(core), records_(core.records()), is_open_(is_open), findings_(findings) {}

  void slots();
  void files();
  void sessions();
  void connections();
  void updates();
  void holders();
  void quotas();
  std::set<int64_t> process_fds();
  void fds();

 private:
  template <typename... Args>
  void add(fmt::format_string<Args...> text, Args&&... args) {
    findings_.add(fmt::format(text, std::forward<Args>(args)...));
  }
  template <typename... Args>
  void add_derived(fmt::format_string<Args...> text, Args&&... args) {
    findings_.add_derived(fmt::format(text, std::forward<Args>(args)...));
  }
  void slot(abi::PoolKind kind, abi::SlotHeader& header);

  Core& core_;
  Records& records_;
  const std::function<bool(BorrowedFd)>& is_open_;
  Findings& findings_;
};

void Check::slot(abi::PoolKind kind, abi::SlotHeader& header) {
  const char* name = kKindNames[static_cast<size_t>(kind)];
  const uint64_t address = records_.address_of(&header);
  const auto* words = reinterpret_cast<const uint64_t*>(&header);
  switch (static_cast<abi::SlotState>(header.state)) {
    case abi::SlotState::kLive:
      return;
    case abi::SlotState::kFree:
      if (std::all_of(words, words + abi::slot_size(kind) / sizeof *words,
                      [](uint64_t word) { return word == 0; })) {
        return;
      }
      return add_derived("slot {:#x}: a free {} record that is not zero: bytes are left behind",
                         address, name);
    case abi::SlotState::kIntent:
      return add_derived("slot {:#x}: a {} record that was begun and never committed", address,
                         name);
    case abi::SlotState::kDying:
      return add_derived("slot {:#x}: a {} record that is half removed", address, name);
  }
  add_derived("slot {:#x}: a {} record in state {:#x}, which is none", address, name, header.state);
}

void Check::slots() {
  for (size_t k = 0; k < static_cast<size_t>(abi::PoolKind::kCount); ++k) {
    const auto kind = static_cast<abi::PoolKind>(k);
    uint64_t live = 0;
    records_.for_each_slot(kind, [&](abi::SlotHeader& header) {
      live += header.state == static_cast<uint64_t>(abi::SlotState::kLive);
      slot(kind, header);
    });
    if (live == records_.count(kind)) continue;
    add_derived("{} records: {} are counted, {} are there", kKindNames[k], records_.count(kind),
                live);
  }
  if (!records_.redo_is_clear()) {
    add_derived("redo list: not empty between two changes: bytes of a change are left behind");
  }
}

void Check::files() {
  records_.for_each<abi::FileSlot>([&](abi::FileSlot& slot) {
    ++findings_.files;
    const Session* session = core_.sessions().at(slot.session);
    if (session == nullptr) {
      return add_derived("file {:#x}: its session is no record: nobody can retrieve it",
                         slot.token);
    }
    if (session->files.find(slot.token) != &slot) {
      add_derived("session '{}' file {:#x}: not in the session's index", session->name, slot.token);
    }
    if (slot.fd < 0 && slot.failed != 0) {
      add("session '{}' file {:#x}: lost, it was not in the service manager's fd store",
          session->name, slot.token);
    }
    if (slot.flb != 0 && records_.find<abi::FlbSlot>(slot.flb) == nullptr) {
      add("session '{}' file {:#x}: its global state is no record", session->name, slot.token);
    }
  });
}

void Check::sessions() {
  core_.sessions().for_each([&](Session& session) {
    ++findings_.sessions;
    const auto* slot = records_.find<abi::SessionSlot>(session.address);
    if (slot == nullptr) return add_derived("session '{}': in the index only", session.name);
    if (slot->uid != session.uid || session.name != slot->name) {
      add_derived("session '{}': its index has another owner or name", session.name);
    }
    if (slot->service != 0 && records_.find<abi::ServiceSlot>(slot->service) == nullptr) {
      add("session '{}': its service is no record", session.name);
    }
    for (const abi::FileSlot* file : session.files.ordered()) {
      if (file->session == session.address &&
          records_.find<abi::FileSlot>(records_.address_of(file)) == file) {
        continue;
      }
      add_derived("session '{}': its index has a file that is no record of its own", session.name);
    }
    for (const Holder& holder : session.holders) {
      const auto* connection = records_.find<abi::ConnectionSlot>(holder.connection);
      if (connection != nullptr && connection->session == session.address) continue;
      add_derived("session '{}': a holder is no connection of its own", session.name);
    }
  });
  if (core_.sessions().size() == records_.count(abi::PoolKind::kSession)) return;
  add_derived("sessions: {} records, {} in the index", records_.count(abi::PoolKind::kSession),
              core_.sessions().size());
}

void Check::connections() {
  records_.for_each<abi::ConnectionSlot>([&](abi::ConnectionSlot& slot) {
    if (slot.session != 0 && core_.sessions().at(slot.session) == nullptr) {
      add("connection fd {}: the session it holds is no record", slot.fd);
    }
    if (slot.service != 0 && records_.find<abi::ServiceSlot>(slot.service) == nullptr) {
      add("connection fd {}: its service is no record", slot.fd);
    }
  });
}

void Check::updates() {
  records_.for_each<abi::UpdateSlot>([&](abi::UpdateSlot& slot) {
    if (records_.find<abi::ServiceSlot>(slot.service) == nullptr) {
      add("update {:x}: its service is no record", slot.header.id);
    }
  });
  core_.services().for_each([&](abi::ServiceSlot& service) {
    if (service.active_update == 0) return;
    const auto* update = records_.find<abi::UpdateSlot>(service.active_update);
    if (update != nullptr && update->service == core_.services().address_of(service)) return;
    add("service '{}': its active update is no record of its own", service.name);
  });
}

void Check::holders() {
  std::map<uint64_t, uint64_t> holders;
  records_.for_each<abi::FileSlot>([&](abi::FileSlot& slot) {
    if (slot.flb != 0) ++holders[slot.flb];
  });
  records_.for_each<abi::FlbSlot>([&](abi::FlbSlot& slot) {
    const uint64_t address = records_.address_of(&slot);
    if (holders[address] == 0) {
      add("global state '{}': no file holds it: nothing will ever end it", slot.compatible);
    }
    if (core_.flbs().holders(address) != holders[address]) {
      add_derived("global state '{}': {} holders are counted, {} are there", slot.compatible,
                  core_.flbs().holders(address), holders[address]);
    }
  });
}

void Check::quotas() {
  for (const auto& [uid, is] : usage_by_uid(records_)) {
    const auto subtrees = core_.subtrees().usage_of(uid);
    const auto compare = [&, uid = uid](const char* what, uint64_t counted, uint64_t there) {
      if (counted == there) return;
      add_derived("quota of uid {}: {} {} are counted, {} are there", uid, counted, what, there);
    };
    compare("sessions", core_.sessions().count_of(uid), is.sessions);
    compare("files", core_.files().count_of(uid), is.files);
    compare("subtrees", subtrees.count, is.subtrees);
    compare("bytes of subtrees", subtrees.bytes, is.subtree_bytes);
    compare("bytes of the arena", core_.arena_quota().bytes_of(uid), is.arena_bytes);
  }
}

// Fds that belong to processes: a service's and its update's words name the same one while the old
// version retires.
std::set<int64_t> Check::process_fds() {
  std::set<int64_t> fds;
  records_.for_each<abi::ServiceSlot>([&](abi::ServiceSlot& slot) {
    fds.insert({slot.current.binary_fd, slot.current.notify_fd, slot.previous_binary_fd});
  });
  records_.for_each<abi::UpdateSlot>([&](abi::UpdateSlot& slot) {
    for (const auto& words : {slot.successor, slot.old}) {
      fds.insert({words.binary_fd, words.notify_fd});
    }
  });
  return fds;
}

// Every fd that a record names is open, and no other record's.
void Check::fds() {
  std::vector<BorrowedFd> named = core_.named_fds();
  findings_.fds = named.size();
  std::sort(named.begin(), named.end());
  const std::set<int64_t> shared = process_fds();
  for (size_t i = 0; i < named.size(); ++i) {
    const int number = named[i].get();
    const bool again = i > 0 && named[i - 1].get() == number;
    if (again && !shared.contains(number)) {
      add("fd {}: two records name it: whichever goes first closes the other's file", number);
    } else if (!again && !is_open_(named[i])) {
      add("fd {}: a record names it, but it is not open: that file is lost", number);
    }
  }
}

}  // namespace

Findings fsck(Core& core, const std::function<bool(BorrowedFd)>& is_open) {
  Findings findings;
  Check check(core, is_open, findings);
  check.slots();
  fsck_pages(core, findings);
  check.sessions();
  check.files();
  check.connections();
  check.updates();
  check.holders();
  check.quotas();
  check.fds();
  return findings;
}

void fsck_fds(Core& core, const std::vector<BorrowedFd>& open, const std::vector<BorrowedFd>& own,
              const std::function<std::string(BorrowedFd)>& describe, Findings& findings) {
  std::vector<BorrowedFd> named = core.named_fds();
  std::sort(named.begin(), named.end());
  for (const BorrowedFd fd : open) {
    if (std::binary_search(named.begin(), named.end(), fd) ||
        std::binary_search(own.begin(), own.end(), fd)) {
      continue;
    }
    findings.add_derived(
        fmt::format("fd {} ({}): open, but no record and no part of outlived "
                    "names it: leaked",
                    fd.get(), describe(fd)));
  }
}

}  // namespace outlive::luo
