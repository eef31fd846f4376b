#include "daemon/setup.h"

#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include <filesystem>

#include "base/sys.h"
#include "kho/arena.h"

namespace outlive::daemon {
namespace {

bool make_path(const std::string& path) {
  for (size_t at = path.find('/', 1);; at = path.find('/', at + 1)) {
    const Status made = sys::mkdir(path.substr(0, at), 0755);
    if (!made && made.error().code != EEXIST) return false;
    if (at == std::string::npos) break;
  }
  return ::access(path.c_str(), W_OK) == 0;
}

std::string choose_state_dir(const Config& config, const wire::RuntimeDir& runtime) {
  if (config.state_dir) return *config.state_dir;
  std::string wanted = "/var/lib/outlive";
  if (geteuid() != 0) {
    const char* xdg = getenv("XDG_STATE_HOME");
    const char* home = getenv("HOME");
    wanted = xdg != nullptr && *xdg == '/' ? std::string(xdg) + "/outlive"
             : home != nullptr             ? std::string(home) + "/.local/state/outlive"
                                           : "";
  }
  // A user without a home keeps its logs beside the sockets.
  return !wanted.empty() && make_path(wanted) ? wanted : runtime.path;
}

// flock, not POSIX locks: it belongs to the open file, which all processes of the table share.
Result<UniqueFd> take_lock(const std::string& path) {
  UniqueFd lock = TRY(sys::open(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0600));
  if (const Status locked = sys::flock(lock, LOCK_EX | LOCK_NB); !locked) {
    const Result<std::string> pid = sys::read_file(path, 64);
    return fail(EEXIST,
                "another outlived (pid {}) is at this folder: stop it, or use --runtime-dir",
                pid ? pid->substr(0, pid->find('\n')) : "unknown");
  }
  TRY(sys::ftruncate(lock, 0).context("{}", path));
  TRY(sys::write_all(lock, fmt::format("{}\n", getpid())).context("{}", path));
  return lock;
}

Result<UniqueFd> listen_at(const std::string& path, int type, mode_t mode) {
  const Status stale = sys::unlink(path);
  static_cast<void>(stale);  // of an outlived that is gone: we hold the lock
  UniqueFd socket = TRY(sys::socket(AF_UNIX, type | SOCK_NONBLOCK));
  const sys::UnixAddress address = TRY(sys::unix_address(path));
  TRY(sys::bind(socket, reinterpret_cast<const sockaddr*>(&address.address), address.length)
          .context("{}", path));
  if (::chmod(path.c_str(), mode) != 0) return fail_errno(path);
  TRY(sys::listen(socket, 4096).context("{}", path));
  return socket;
}

Result<UniqueFd> make_arena(uint64_t max_bytes) {
  Result<UniqueFd> arena = kho::Arena::create_file(max_bytes);
  if (!arena && arena.error().code == EFBIG) {
    return fail(EFBIG,
                "arena: {} bytes are above the limit of file sizes: raise it (ulimit -f), "
                "or lower [kho] arena-max",
                max_bytes);
  }
  return arena;
}

}  // namespace

Result<Setup> Setup::make(const Config& config) {
  Setup setup;
  setup.runtime = TRY(wire::make_runtime_dir(config.runtime_dir));
  setup.state_dir = choose_state_dir(config, setup.runtime);
  UniqueFd lock = TRY(take_lock(setup.runtime.path + "/outlived.lock"));
  UniqueFd arena = TRY(make_arena(config.arena_max));
  UniqueFd device = TRY(listen_at(setup.runtime.liveupdate_socket(), SOCK_SEQPACKET, 0666));
  UniqueFd control = TRY(listen_at(setup.runtime.control_socket(), SOCK_STREAM, 0666));
  // Now: the confined worker may write below it only if it is there. It says so if it isn't.
  static_cast<void>(make_path(setup.state_dir));
  // From here on they belong to the table.
  setup.lock = BorrowedFd(lock.release());
  setup.arena = BorrowedFd(arena.release());
  setup.device_listener = BorrowedFd(device.release());
  setup.control_listener = BorrowedFd(control.release());
  return setup;
}

Result<machine::Confinement> prepare_confinement(const Setup& setup, const Options& options,
                                                 const Config& config) {
  using machine::Confinement;
  if (!config.confine) return Confinement::off("[worker] confine = false");
  if (options.no_keeper) return Confinement::off("--no-keeper: the keeper is in this process");
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return Confinement::off("a sanitizer's report needs files and processes");
#else
  const std::string folder = std::filesystem::path(config_path(options)).parent_path();
  return Confinement::prepare(
      {{folder.empty() ? "." : folder}, {setup.runtime.path, setup.state_dir}});
#endif
}

}  // namespace outlive::daemon
