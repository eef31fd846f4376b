// outlive::Participant: derive from it, override what you need, hand it to Client::participate().
//
//   the old one:  prepare (light, still serving), freeze (stop, note what is half done),
//                 then cancel (serve again) or retire (leave soon)
//   the new one:  preview (if it looks ahead: what came in prepare; preview.hpp),
//                 adopt (retrieve and check, don't write), committed (it is yours: serve)
//
// prepare, freeze, preview and adopt return 0, or -errno: then the update is cancelled, nothing has
// changed. Say why with Client::set_reason() before. Callbacks run inside Client::dispatch(), and
// adopt and committed of a restarted service inside Client::participate(). They must not throw.
#ifndef OUTLIVE_PARTICIPANT_HPP
#define OUTLIVE_PARTICIPANT_HPP

#include <cstdint>

#include "outlive/outlive.h"

namespace outlive {
inline namespace v0 {

using Event = ::outlive_event;

enum class Role : int {
  kNone = OUTLIVE_ROLE_NONE,            // not started by outlived: no updates
  kFresh = OUTLIVE_ROLE_FRESH,          // nothing to adopt
  kRestarted = OUTLIVE_ROLE_RESTARTED,  // the one before died; adopt and committed have run
  kSuccessor = OUTLIVE_ROLE_SUCCESSOR,  // an update: adopt and committed will run
};

class Participant {
 public:
  virtual ~Participant() = default;

  // Version of the state that this program writes, and the oldest that it can read; 0: none.
  virtual std::uint32_t state_version() const { return 0; }
  virtual std::uint32_t oldest_state_version() const { return 0; }

  virtual int prepare(const Event&) { return 0; }
  virtual int freeze(const Event&) { return 0; }
  virtual void cancel(const Event&) {}
  virtual void retire(const Event&) {}
  virtual int preview(const Event&) { return 0; }
  virtual int adopt(const Event&) { return 0; }
  virtual void committed(const Event&) {}

 protected:
  Participant() = default;
  Participant(const Participant&) = default;
  Participant& operator=(const Participant&) = default;
};

namespace detail {

inline Participant& participant(void* context) noexcept {
  return *static_cast<Participant*>(context);
}

inline ::outlive_participant c_participant(Participant& p) {
  ::outlive_participant c{};
  c.size = sizeof c;
  c.state_version = p.state_version();
  c.oldest_state_version = p.oldest_state_version();
  c.context = &p;
  c.prepare = [](void* x, const Event* e) noexcept { return participant(x).prepare(*e); };
  c.freeze = [](void* x, const Event* e) noexcept { return participant(x).freeze(*e); };
  c.cancel = [](void* x, const Event* e) noexcept { participant(x).cancel(*e); };
  c.retire = [](void* x, const Event* e) noexcept { participant(x).retire(*e); };
  c.preview = [](void* x, const Event* e) noexcept { return participant(x).preview(*e); };
  c.adopt = [](void* x, const Event* e) noexcept { return participant(x).adopt(*e); };
  c.committed = [](void* x, const Event* e) noexcept { participant(x).committed(*e); };
  return c;
}

}  // namespace detail
}  // namespace v0
}  // namespace outlive
#endif
