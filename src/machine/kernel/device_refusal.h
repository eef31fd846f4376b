// Why /dev/liveupdate can't be opened, for people: what the errno means there, who has it, and what
// the kernel's log says.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "machine/kernel/liveupdate_device.h"

namespace outlive::machine {

// One line. `error` is open_liveupdate()'s, `log` what liveupdate_log() says.
std::string device_refusal(const Error& error, const std::vector<std::string>& log,
                           const std::string& path = kLiveupdateDevice);

// The same lines as the end of a text: "; the kernel's log: ..."; "" when there are none.
std::string log_text(const std::vector<std::string>& log);

// There is no device because the kernel could not take over what the one before left: that is lost.
bool gave_up_early(const Error& error, const std::vector<std::string>& log);

// The line that says that the kernel before has handed something on; "": it hasn't.
std::string handed_on(const std::vector<std::string>& log);

// "pid 12 (systemd)": who has this file open, as far as /proc tells us; "" when it doesn't. Without
// opening it.
std::string who_has_open(const std::string& path);

// Of the kernel's log (records as /dev/kmsg has them), the last lines about live update and KHO.
std::vector<std::string> liveupdate_lines(std::string_view records);

// These lines of the running kernel's log, as far as we may read it.
std::vector<std::string> liveupdate_log();

}  // namespace outlive::machine
