// Services' logs: one file a service, which the service itself writes (its stdout and stderr are
// the file, opened for appending), so that no line depends on anybody who reads a pipe.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace outlive::daemon {

class ServiceLogs {
 public:
  ServiceLogs() = default;
  explicit ServiceLogs(std::string folder) : folder_(std::move(folder)) {}
  // Makes the folder. EACCES and the like name it.
  Status prepare() const;
  // For appending, owned by the uid. A file above 16 MiB is renamed to NAME.log.1 first.
  Result<UniqueFd> open(const std::string& name, uint64_t uid, uint64_t gid) const;
  // The last `lines` lines, or what was written from byte `after` on (then lines is no bound).
  struct Text {
    std::string text;
    uint64_t position = 0;
  };
  Result<Text> read(const std::string& name, uint64_t uid, uint64_t lines, int64_t after) const;
  std::string path(const std::string& name, uint64_t uid) const;

 private:
  std::string folder_;
};

}  // namespace outlive::daemon
