// Who of outlived's processes goes first. The worker serves everybody: whoever asks it would wait
// for those who only compute, and a hostile user can take all processors (it still can, but no
// longer makes the worker late by it). It gets no more done for anyone by it: what one user's
// requests may cost is bounded elsewhere (daemon/throttle.h).
//
// Nice values (sched(7)), relative to what outlived was started with: needs CAP_SYS_NICE or
// RLIMIT_NICE, and is left as it is without. They count among processes of one group: where
// kernel.sched_autogroup_enabled is 1 and no cgroup's weight counts instead, that is a session, and
// sessions have a nice value of their own. If outlived has been started in a session of its own (by
// a service manager, or setsid(1)), it is that one, too: no service is in it.
#pragma once

namespace outlive::machine {

inline constexpr int kAheadNice = 10;  // a weight of 9548 to 1024: nine tenths of a busy processor

// Once, in the keeper, before anybody is cloned; what is launched has left the session.
void let_session_go_ahead();
// In the worker, before it gives up its capabilities.
void go_ahead();
// In a child of the worker: what blocks, or takes long, is not urgent. Needs no privilege.
void step_back();

}  // namespace outlive::machine
