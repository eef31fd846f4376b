// A time of day as text, without asking anybody. gmtime_r(3) opens the zone file at its first call
// in a process: in a table of descriptors that is shared with others it takes a number for a
// moment, and a worker that looks for orphans at that moment would have it closed - when it is
// already somebody else's.
#pragma once

#include <cstdint>
#include <string>

namespace outlive {

// "2026-11-26T08:44:24.040067Z", with 3 or 6 digits of the second. `realtime_ns`: CLOCK_REALTIME.
std::string utc_text(uint64_t realtime_ns, int digits);

}  // namespace outlive
