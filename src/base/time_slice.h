// The calling thread's time slice: how long it asks to run before others get their turn. One that
// asks for a short slice runs sooner after it wakes, also in front of a thread that is in the
// middle of a long one, and gets no more of the processor for it. Needs no privilege.
//
// Linux 6.12 and later for ordinary threads (sched(7), sched_attr.sched_runtime: 0.1 to 100 ms);
// before that it is accepted and does nothing. Inherited by clone(2), kept over execve(2).
#pragma once

#include <cstdint>

#include "base/result.h"

namespace outlive {

inline constexpr uint64_t kShortTimeSliceNs = 100'000;
inline constexpr uint64_t kDefaultTimeSlice = 0;

// Keeps policy and nice value. EINVAL: the thread is scheduled by a policy that has no slices
// (real time, deadline): whoever chose that knows better.
Status set_time_slice(uint64_t ns);
// 0: the kernel doesn't say.
Result<uint64_t> time_slice();

}  // namespace outlive
