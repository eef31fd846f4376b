#include "cli/connect.h"

#include <optional>

#include "wire/runtime_dir.h"

namespace outlive::cli {

Result<wire::VarlinkClient> connect_control(const std::string& runtime_dir) {
  const std::optional<std::string> given =
      runtime_dir.empty() ? std::nullopt : std::optional(runtime_dir);
  const std::vector<wire::RuntimeDir> dirs = TRY(wire::find_runtime_dirs(given));
  std::string tried;
  std::optional<Error> forbidden;
  for (const wire::RuntimeDir& dir : dirs) {
    if (!tried.empty()) tried += ", ";
    tried += dir.control_socket();
    if (!dir.problem.empty()) {
      tried += fmt::format(" (not used: {})", dir.problem);
      continue;
    }
    Result<wire::VarlinkClient> client = wire::VarlinkClient::connect(dir.control_socket());
    if (client) return client;
    const int code = client.error().code;
    if (code == EACCES || code == EPERM) {
      forbidden = fail(EACCES, "no permission to use {}: ask its owner, or run as that user",
                       dir.control_socket());
    } else if (code == ECONNREFUSED) {
      tried += " (nobody listens there any more)";
    } else if (code != ENOENT && code != ENOTDIR) {
      return client;
    }
  }
  if (forbidden) return *std::move(forbidden);
  return fail(ENOTCONN,
              "outlived is not running (tried {}): start it with `outlived`, or say where "
              "it is with --runtime-dir",
              tried);
}

}  // namespace outlive::cli
