// What Status says of an outlived that holds everything, and serves nobody.
#pragma once

#include <string>

#include "machine/process/control.h"
#include "wire/varlink.h"

namespace outlive::daemon {

// `refused`: what was inherited; else its worker died too often.
wire::Json hold_status(const machine::Control& control, const std::string& runtime_dir,
                       const std::string& reason, bool refused);

}  // namespace outlive::daemon
