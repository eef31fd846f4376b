// The addresses behind a machine's name: from /etc/hosts, then from the DNS servers of
// /etc/resolv.conf. Other name services of nsswitch.conf aren't asked: a static program can't load
// them safely.
//
// Happy path:   a child of this process asks, and hands the addresses over.
// Unhappy path: the resolver blocks for as long as it likes: the child is killed when the time is
//               over. There is no such name, or nobody to ask: its own words.
// Only of a process that has one thread, and no use for SIGCHLD.
#pragma once

#include <netdb.h>

#include <cstdint>
#include <string>
#include <vector>

#include "daemon/listen_address.h"

namespace outlive::daemon {

using Resolver = int (*)(const char* name, const char* service, const addrinfo* hints,
                         addrinfo** found);

// In the order in which they should be tried; at least one. `deadline_ns`: CLOCK_MONOTONIC.
// ETIMEDOUT, ENOENT (there is no such name), EAGAIN (nobody answers). `resolver`: for tests.
Result<std::vector<ListenAddress>> look_up_name(const std::string& name, uint16_t port,
                                                uint64_t deadline_ns, Resolver resolver = nullptr);

}  // namespace outlive::daemon
