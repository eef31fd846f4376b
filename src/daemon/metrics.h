// The metrics of outlived as text (exposition.h). docs/guide.md has the table of them for people.
//
// Counters come from the control block, so they rise over deaths of the worker; gauges are read
// off when somebody asks.
#pragma once

#include <string>

#include "daemon/parts.h"
#include "machine/process/control.h"

namespace outlive::daemon {

// What is known without the arena: all there is in hold mode.
std::string control_metrics(const machine::Control& control, bool hold);
// Everything.
std::string all_metrics(const Parts& parts, uint64_t connections);

}  // namespace outlive::daemon
