// What `outlive kexec` has done and when, for the timeline of the update. Times are outlived's
// steady clock, as all of that timeline: it goes on over the kexec.
#pragma once

#include <string>
#include <vector>

#include "luo/records.h"
#include "wire/varlink.h"

namespace outlive::cli {

class KexecSteps {
 public:
  // Called in turn: each step ends where the next one begins.
  void begin(std::string what);
  void end();
  // A point in time, while a step goes on.
  void note(std::string what);
  // Into records that nobody else has, the image's: the timelines of all updates of that request.
  // The step that goes on stays open: the next outlived ends it.
  void write_into(luo::Records& records, const wire::RequestId& request) const;

 private:
  struct Step {
    std::string what;
    uint64_t begun_ns;
    uint64_t ended_ns;
  };
  std::vector<Step> steps_;
};

}  // namespace outlive::cli
