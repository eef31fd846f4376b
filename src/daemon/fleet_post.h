// The process that reports a refusal: outlived itself, executed anew (fleet_report.h), so that
// nothing of a worker or the keeper waits for a network.
//
// Happy path:   standard input is read to its end; one POST, and a 2xx is the end: exit code 0.
// Unhappy path: the name isn't known, nobody answers, or something else: again, after a pause that
//               doubles, until the time is over: exit code 1. Each try is bounded by itself. Every
//               end but the last says so in one line.
// Delivered at least once: an answer that got lost is a report that is sent again.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "daemon/fleet_address.h"

namespace outlive::daemon {

// The first that can be connected to, in their order; none may take the time that the others need.
// The error: the last one's. `deadline_ns`: CLOCK_MONOTONIC.
Result<UniqueFd> connect_to_any(std::span<const ListenAddress> list, uint64_t deadline_ns);

// The status code of the answer, of the first address of a name that can be connected to.
// ETIMEDOUT: none within `most_ns`; EPROTO: it isn't HTTP.
Result<int> http_post(const FleetAddress& to, std::string_view json, uint64_t most_ns);

// All of it, for at most so long, and each try; the exit code. One byte is sent to standard input,
// a socket, when the first try is over.
int post_report(const std::string& address, uint64_t most_ns, uint64_t try_ns);

}  // namespace outlive::daemon
