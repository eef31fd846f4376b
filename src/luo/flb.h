// FLB: file-lifecycle-bound global state, shared by all files of a handler or of several.
//
// Happy path:   the first preserved file of the kind makes it (preserve), further ones hold it, the
//               last one unpreserved or finished ends it (unpreserve, finish); a later cycle makes
//               it anew. In the new process it is retrieved on first access.
// Unhappy path: preserve fails: so does the file's. A failed retrieve is remembered, for ever.
//               An incoming and an outgoing instance may exist at once (host and kernel scope).
// Locks:        get() takes the instance's lock, put() releases it; a failed get leaves it free.
//               One thread: a second get before put is our own bug.
// Counts:       how many files hold it is derived from the file records.
#pragma once

#include <unordered_map>

#include "luo/context.h"

namespace outlive::luo {

class Flb {
 public:
  virtual ~Flb() = default;
  virtual const char* compatible() const = 0;  // up to 47 characters, with a version
  virtual Result<uint64_t> preserve() = 0;     // its data
  virtual void unpreserve(uint64_t data) = 0;
  virtual Status retrieve(uint64_t data) = 0;
  virtual void finish(uint64_t data) = 0;
  // Once an update, if it wants: after its files' prepare and freeze, before their cancel, finish.
  virtual Status prepare(uint64_t) { return {}; }
  virtual Status freeze(uint64_t) { return {}; }
  virtual void cancel(uint64_t) {}
};

class Flbs {
 public:
  explicit Flbs(Context& context) : context_(context) {}
  // Counts holders anew; EUCLEAN when a file holds one that is no record.
  Status load();

  // For a file that is about to be preserved: the instance's address, made if there is none.
  Result<uint64_t> hold(Change& change, Flb& flb);
  // Undoes a hold whose change is not committed.
  void abandon(Flb& flb, uint64_t address);
  // For a file that goes. When it was the last one, removes the slot in `change` and returns the
  // data that after the commit must be given to unpreserve or finish.
  struct Last {
    Flb* flb = nullptr;
    uint64_t data = 0;
  };
  Last release(Change& change, Flb& flb, uint64_t address);

  // The data of the instance: outgoing, or the incoming one (retrieved on first access).
  // ENOENT: none; EBUSY is a bug of the caller (CHECK).
  Result<uint64_t> get(Flb& flb, bool incoming);
  void put(Flb& flb, bool incoming);
  uint64_t holders(uint64_t address) const;
  // Whether the record at `address` is an instance of this one (nullptr: of none).
  bool belongs(uint64_t address, const Flb* flb) const;
  struct Held {
    Flb* flb;
    abi::FlbSlot* slot;
  };
  // The instances that these files hold, each once, in the order of their making.
  std::vector<Held> held_by(const std::vector<abi::FileSlot*>& files);

 private:
  abi::FlbSlot* find(const Flb& flb, bool incoming);
  Context& context_;
  std::unordered_map<uint64_t, uint64_t> holders_;  // by slot address
  std::unordered_map<uint64_t, bool> retrieved_;
  std::unordered_map<uint64_t, bool> locked_;
  // An instance that the current change makes: not LIVE yet, so find() can't see it.
  uint64_t fresh_ = 0;
  const Flb* fresh_of_ = nullptr;
  uint64_t fresh_change_ = 0;
};

}  // namespace outlive::luo
