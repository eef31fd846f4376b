// Reboot as the worker sees it: an update of the host (luo/host_update.cc) and, around it,
// outlived's own replacement.
//
//   begin -> rehearsal of outlived's next version -> the barrier of all services, commit, the old
//   ones leave -> outlived is replaced -> the services are started anew, by the next one
//
// Happy path:   begin(); then turn() takes it further, and after outlived's exec the next worker's
//               turn() does: what it has to know is in the records (kUpdateOutlived), in the
//               outcomes of the takeover block, by the request's id, and the file is open there.
// Unhappy path: the rehearsal says no: nobody was asked for anything. The services cancel: outlived
//               stays as it is. It can't be replaced after all, or goes back to the binary before:
//               the services are started anew by the one that runs, and the reason is told.
//               A worker that dies before the services have begun: whoever asks again with the same
//               id has them begin.
// Threads: one; nothing here waits but for the rehearsal's fork.
#pragma once

#include <optional>
#include <string>

#include "daemon/parts.h"
#include "wire/varlink.h"

namespace outlive::daemon {

class HostUpdate {
 public:
  explicit HostUpdate(Parts& parts) : parts_(parts) {}

  struct Options {
    wire::RequestId request;
    std::string binary;  // empty: the file that runs now, by its name
    bool force = false;  // also one that has failed too often
    bool keep_outlived = false;
  };
  // Begins, or takes one with this id further. The plan's refusal (luo::Updates::begin_host), or
  // why outlived's next version can't be (SelfUpdate::begin); ENOEXEC: its rehearsal failed.
  Status advance(const Options& options);
  // Once a turn of the loop.
  void turn();
  // Outlived is about to be replaced by it: no other update of outlived may begin.
  bool under_way() const;
  // What became of outlived: {result, step, reason, from_version, to_version, pause_us}. `updates`:
  // those of the request.
  wire::Json outlived(const wire::RequestId& request,
                      const std::vector<const abi::UpdateSlot*>& updates) const;

 private:
  Status begin_services(const Options& options);
  void replace_outlived();

  Parts& parts_;
  std::optional<Options> rehearsing_;
};

}  // namespace outlive::daemon
