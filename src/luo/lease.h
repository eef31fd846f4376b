// Claim leases: how long a session that nobody holds waits for somebody to claim it.
//
// Happy path:   the last holder's fd closes: unheld() and, once committed, start() -> somebody
//               retrieves the session: claimed(), files and all. The next unheld() starts anew.
// Unhappy path: nobody comes in Context::lease_ns: due() names the session, and Core::give_up()
//               ends it. Its owner or root may end it before (END_SESSION).
// Not ended:    a session of a service in an update before commit; it is looked at again later.
// A new worker: load(), once lease_ns can be asked, takes the leases up from the records. A lease
// has then at least kGrace left
//               (or all of its time, if that is shorter): nobody could claim while there was no
//               worker.
// Clock:        Clock::steady_ns, which doesn't jump when somebody sets the realtime. A record from
//               the future (the clock was set back while outlived was replaced) counts from now on.
// Locks: none, one thread.
#pragma once

#include <map>
#include <set>

#include "luo/update.h"

namespace outlive::luo {

class Leases {
 public:
  static constexpr uint64_t kGrace = 60'000'000'000;     // ns
  static constexpr uint64_t kBusyPause = 1'000'000'000;  // ns

  Leases(Context& context, Sessions& sessions, Updates& updates)
      : context_(context), sessions_(sessions), updates_(updates) {}
  void load();

  // Nobody holds it any more, as of the commit. One of no service turns incoming with that.
  void unheld(Change& change, Session& session);
  void start(Session& session);  // after that commit
  // Somebody does, as of the commit.
  void claimed(Change& change, Session& session) { change.set(session.slot->orphaned_ns, 0); }

  // When it ends (Clock::steady_ns); 0: never, or somebody holds it.
  uint64_t ends_ns(const Session& session) const;
  uint64_t unheld_for_ns(const Session& session) const;
  // Those whose time is over, each once.
  std::vector<Session*> due();
  // ns from now on; UINT64_MAX: none.
  uint64_t next_in_ns() const;

 private:
  struct Lease {
    uint64_t id;  // of the session that is in the slot
    uint64_t ends_ns;
  };
  void arm(const Session& session, uint64_t ends_ns);
  void disarm(uint64_t address);

  Context& context_;
  Sessions& sessions_;
  Updates& updates_;
  // One a slot: what is claimed or ended meanwhile is found out when it is due.
  std::map<uint64_t, Lease> by_slot_;
  std::set<std::pair<uint64_t, uint64_t>> by_end_;  // ends_ns, slot
};

}  // namespace outlive::luo
