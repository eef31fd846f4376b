// The flight recorder: the last 1 MiB of the log, in a reserve_mem region of the arena, readable
// after a death of the worker: `outlive log --previous`.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "daemon/config.h"
#include "kho/flight_recorder.h"
#include "kho/reserve_mem.h"

namespace outlive::daemon {

class Recorder {
 public:
  Recorder() = default;
  ~Recorder();
  // Reserves its region and the configured ones, remembers what the worker before wrote, and gets
  // every line of the log from now on.
  Status open(kho::Arena& arena, const std::vector<RegionConfig>& regions);
  // Oldest line first. previous: what was there when this worker started.
  std::string read(bool previous) const;
  uint64_t written() const;

 private:
  std::optional<kho::FlightRecorder> recorder_;
  const abi::RecorderHeader* header_ = nullptr;
  std::string previous_;
};

}  // namespace outlive::daemon
