// What a process that stays behind lets go of.
#pragma once

namespace outlive::compat {

// Standard streams become /dev/null, so that who reads the run's output sees its end; the working
// folder becomes "/"; every other descriptor but `kept` is closed (-1: none is kept).
void go_to_background(int kept);
// Standard streams only.
void let_go_of_streams();

}  // namespace outlive::compat
