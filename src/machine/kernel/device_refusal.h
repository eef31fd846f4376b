// Why /dev/liveupdate can't be opened, for people: what the errno means there, who has it, and what
// the kernel's log says.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "machine/kernel/liveupdate_device.h"

namespace outlive::machine {

// One line. `error` is open_liveupdate()'s.
std::string device_refusal(const Error& error, const std::string& path = kLiveupdateDevice);

// "pid 12 (systemd)": who has this file open, as far as /proc tells us; "" when it doesn't. Without
// opening it.
std::string who_has_open(const std::string& path);

// Of the kernel's log (records as /dev/kmsg has them), the last lines about live update and KHO.
std::vector<std::string> liveupdate_lines(std::string_view records);

}  // namespace outlive::machine
