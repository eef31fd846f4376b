// Sessions: named containers of preserved files, one container a SessionSlot, and the index over
// them (O(1) by uid and name).
//
// Happy path:   create -> preserve files -> (update: offer, commit) -> retrieve -> adopt or finish
// Unhappy path: the holder dies: a session of a supervised service or one with `linger` waits for
//               the next one, for a time (lease.h); any other is ended, its files unpreserved last
//               first.
// Directions:   not stored, see abi/records.h; direction() computes it.
// Holders:      connections that hold a session's fd. Derived; the daemon tells them at attach.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "luo/context.h"

namespace outlive::luo {

// The preserved files of one session in order of preservation. An index over FileSlots.
class FileList {
 public:
  void add(abi::FileSlot& slot);
  void remove(abi::FileSlot& slot);
  abi::FileSlot* find(uint64_t token) const;
  size_t size() const { return by_token_.size(); }
  // First to last. The returned list is a copy: it may be altered while walked.
  std::vector<abi::FileSlot*> ordered() const;
  // First to last, from the first one whose order is above `after`; until `visit` says false.
  template <typename Visit>
  void each_after(uint64_t after, Visit visit) const {
    for (const abi::FileSlot* slot : order_) {
      if (slot == nullptr || slot->order <= after) continue;
      if (!visit(*slot)) return;
    }
  }

 private:
  std::vector<abi::FileSlot*> order_;  // nullptr: removed; compacted when half of it is
  std::unordered_map<uint64_t, uint32_t> by_token_;
};

struct Holder {
  uint64_t connection;  // ConnectionSlot address
  uint64_t generation;
};

struct Session {
  abi::SessionSlot* slot;
  uint64_t address;  // of the slot
  uint64_t uid;
  std::string name;
  FileList files;
  std::vector<Holder> holders;
};

// Its files are the kernel's (abi/records.h); what it has of its own is a kernel session that came
// through a kexec and was not handed over yet.
inline bool is_direct(const Session& session) {
  return (session.slot->flags & abi::kSessionDirect) != 0;
}

enum class Direction { kOutgoing, kIncoming };

class Sessions {
 public:
  explicit Sessions(Context& context) : context_(context) {}
  // Builds the index from the records; EUCLEAN when one points nowhere.
  Status load();

  // How `caller` sees it. A successor sees what its update offers as incoming.
  Direction direction(const Session& session, const Caller& caller) const;
  Direction direction(const Session& session) const;

  // EINVAL: the name; EEXIST: an outgoing one of this owner has it; EDQUOT. After the commit the
  // caller calls index().
  Result<abi::SessionSlot*> create(Change& change, const Caller& caller, std::string_view name,
                                   uint64_t flags);
  // Its own, root's all, or one that it is granted.
  bool sees(const Caller& caller, const Session& session) const;
  // The caller's own, else one that it is granted. ENOENT: no incoming one; EINVAL: already
  // retrieved by this generation.
  Result<Session*> retrieve(const Caller& caller, std::string_view name);
  // Any session the caller may see: by name, its own first, outgoing first.
  Session* find(const Caller& caller, std::string_view name);
  // The one that a generation of the caller's service has under this name, in either direction:
  // what a successor will inherit. nullptr: none.
  Session* of_service(const Caller& caller, std::string_view name);
  Session* at(uint64_t slot_address);
  void for_each(const std::function<void(Session&)>& visit);
  size_t size() const { return by_slot_.size(); }

  // Index upkeep: index() after the commit that made the slot, forget() just before the commit that
  // removes it.
  Session& index(abi::SessionSlot& slot);
  void forget(Session& session);
  void hold(Session& session, Holder holder) { session.holders.push_back(holder); }
  void drop_holder(Session& session, uint64_t connection);

  uint64_t count_of(uint64_t uid) const;
  Context& context() { return context_; }

 private:
  static std::string key(uint64_t uid, std::string_view name);
  // nullptr: this owner has none.
  Result<Session*> retrieve_of(uint64_t owner, const Caller& caller, std::string_view name);
  Session* find_of(uint64_t owner, std::string_view name);
  Context& context_;
  std::unordered_map<uint64_t, std::unique_ptr<Session>> by_slot_;
  std::unordered_multimap<std::string, Session*> by_name_;
  std::unordered_map<uint64_t, uint64_t> by_uid_;
};

// 1 to 63 bytes of UTF-8 with no NUL and no control characters; EINVAL says which rule.
Status check_name(std::string_view name);
// The name in a fixed field; EINVAL when it has no NUL or is empty (the kernel's rule).
Result<std::string> name_from_field(const uint8_t (&field)[abi::kSessionNameLength]);

}  // namespace outlive::luo
