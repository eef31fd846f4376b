#include "client/connect.h"

#include "base/sys.h"
#include "wire/varlink_client.h"

namespace outlive::client {
namespace {

// How long a control socket that accepted may take to say how it is.
constexpr int kStatusTimeoutMs = 10'000;

bool nobody_there(const Error& error) {
  return error.code == ENOENT || error.code == ECONNREFUSED || error.code == ENOTDIR;
}

Result<UniqueFd> connect_socket(const std::string& path) {
  UniqueFd socket = TRY(sys::socket(AF_UNIX, SOCK_SEQPACKET));
  const auto address = TRY(sys::unix_address(path));
  TRY(sys::connect(socket, reinterpret_cast<const sockaddr*>(&address.address), address.length)
          .context("{}", path));
  return socket;
}

// The device is absent; does the control socket know why? An Error is the answer; success means
// that nobody answers there either.
Status ask_control(const wire::RuntimeDir& dir) {
  auto client = wire::VarlinkClient::connect(dir.control_socket());
  if (!client) return {};
  client->set_timeout_ms(kStatusTimeoutMs);
  auto status = client->call("org.outlive.Orchestrator.Status", wire::Json::object());
  if (!status) {
    if (status.error().code == ECONNRESET) return {};
    return std::move(status).context("{}", dir.control_socket()).take_error();
  }
  const auto refused = wire::param<std::optional<std::string>>(*status, "refused");
  if (refused && *refused && !(**refused).empty()) {
    return fail(ESTALE, "inherited state refused: {}; see `outlive status`", **refused);
  }
  return fail(EAGAIN, "outlived at {} is starting, or its device is closed", dir.path);
}

}  // namespace

Result<std::optional<UniqueFd>> connect_device(const std::optional<std::string>& runtime_dir,
                                               bool optional,
                                               const wire::RuntimeEnvironment& environment) {
  const auto dirs = TRY(wire::find_runtime_dirs(runtime_dir, environment));
  std::string tried;
  std::optional<Error> closed_door;
  for (const auto& dir : dirs) {
    tried += (tried.empty() ? "" : ", ") + dir.liveupdate_socket();
    if (!dir.problem.empty()) {
      closed_door = fail(EPERM, "not trusted: {}", dir.problem);
      continue;
    }
    auto socket = connect_socket(dir.liveupdate_socket());
    if (socket) return std::optional<UniqueFd>(socket.take());
    if (!nobody_there(socket.error())) {
      if (!closed_door) closed_door = socket.take_error();
      continue;
    }
    if (auto asked = ask_control(dir); !asked) {
      // It may have opened the device since.
      if (asked.error().code == EAGAIN) {
        if (auto again = connect_socket(dir.liveupdate_socket())) {
          return std::optional<UniqueFd>(again.take());
        }
      }
      return asked.take_error();
    }
  }
  if (closed_door) return *closed_door;
  if (optional) return std::optional<UniqueFd>();
  return fail(ENOENT,
              "outlived is not running (tried {}): start it with `outlived`, or say where it is "
              "with OUTLIVE_RUNTIME_DIR",
              tried);
}

}  // namespace outlive::client
