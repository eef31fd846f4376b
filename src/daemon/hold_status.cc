#include "daemon/hold_status.h"

#include <unistd.h>

namespace outlive::daemon {

using wire::Json;

Json hold_status(const machine::Control& control, const std::string& runtime_dir,
                 const std::string& reason, bool refused) {
  return {{"state", "undefined"},
          {"in_progress", false},
          {"live_update_number", 0},
          {"refused", refused ? Json(reason) : Json()},
          {"held", refused ? Json() : Json(reason)},
          {"runtime_dir", runtime_dir},
          {"version", OUTLIVE_VERSION},
          {"pid_keeper", control.keeper_pid()},
          {"pid_worker", ::getpid()},
          {"pid_spare", control.spare_pid()},
          {"worker_deaths", control.block().worker_deaths},
          {"self_updates", control.block().takeover.updates},
          {"self_rollbacks", control.block().takeover.rollbacks},
          {"self_update_failed", nullptr},
          {"uptime_us", 0},
          {"sessions", 0},
          {"files", 0},
          {"services", 0},
          {"arena_used", 0},
          {"arena_size", 0},
          {"kho_enabled", true},
          {"liveupdate_enabled", true},
          {"fd_store", nullptr},
          {"log", nullptr}};
}

}  // namespace outlive::daemon
