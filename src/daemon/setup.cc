#include "daemon/setup.h"

#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include <filesystem>

#include "base/clock.h"
#include "base/fault.h"
#include "base/sys.h"
#include "daemon/fd_store.h"
#include "daemon/other_boot.h"
#include "daemon/worker.h"
#include "files/memfd/memfd_device.h"
#include "kho/arena.h"
#include "kho/store.h"
#include "machine/process/takeover.h"

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
  // Who comes waits for all who wait before (acceptor.h): not for thousands.
  TRY(sys::listen(socket, 1024).context("{}", path));
  return socket;
}

// The one of the life before, with who waits in it, if its path still leads to it.
Result<UniqueFd> listen_again(UniqueFd& stored, const std::string& path, int type, mode_t mode) {
  sockaddr_un name{};
  socklen_t length = sizeof name;
  struct stat status {};
  if (stored.valid() &&
      ::getsockname(stored.get(), reinterpret_cast<sockaddr*>(&name), &length) == 0 &&
      path == std::string_view(name.sun_path, strnlen(name.sun_path, sizeof name.sun_path)) &&
      ::stat(path.c_str(), &status) == 0 && S_ISSOCK(status.st_mode)) {
    return std::move(stored);
  }
  return listen_at(path, type, mode);
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

Result<Setup> Setup::make(const LoadedConfig& loaded, StoredFds& stored,
                          const machine::Control& control) {
  const Config& config = loaded.config;
  Setup setup;
  machine::store_word(control.block().started_ns, system_clock().now_ns());
  setup.runtime = TRY(wire::make_runtime_dir(config.runtime_dir));
  setup.state_dir = choose_state_dir(config, setup.runtime);
  UniqueFd lock = TRY(take_lock(setup.runtime.path + "/outlived.lock"));
  setup.inherits = stored.arena.valid();
  UniqueFd arena = std::move(stored.arena);
  setup.awaited = AwaitedState::look(boot_facts(), setup.runtime.path, setup.state_dir);
  if (setup.inherits) setup.awaited.came();
  setup.machine = MachineChoice::make(config.machine, setup.awaited, control);
  // What may have come through a kexec is retrieved by a worker (kexec_arrival.h): nothing of it is
  // before there is somebody to go on when who does it dies.
  // With an arena all of it is in the fd store, and the kernel has yet to be told.
  using abi::ArrivalState;
  setup.arrives_by_store = !stored.kernel_sessions.empty();
  if (setup.arrives_by_store || (!arena && setup.machine.device.valid())) {
    const ArrivalState state = arena ? ArrivalState::kSettled : ArrivalState::kPending;
    machine::store_word(control.block().arrival, static_cast<uint64_t>(state));
  }
  for (UniqueFd& session : stored.kernel_sessions) static_cast<void>(session.release());
  if (!arena) arena = TRY(make_arena(config.arena_max));
  UniqueFd device = TRY(listen_again(stored.device_listener, setup.runtime.liveupdate_socket(),
                                     SOCK_SEQPACKET, 0666));
  UniqueFd operators =
      TRY(listen_again(stored.control_listener, setup.runtime.control_socket(), SOCK_STREAM, 0666));
  // What is left there was no use.
  setup.new_listeners = stored.device_listener.valid() || stored.control_listener.valid();
  stored.device_listener.reset();
  stored.control_listener.reset();
  // Now: the confined worker may write below it only if it is there. It says so if it isn't.
  static_cast<void>(make_path(setup.state_dir));
  // From here on they belong to the table.
  setup.lock = BorrowedFd(lock.release());
  setup.arena = BorrowedFd(arena.release());
  setup.device_listener = BorrowedFd(device.release());
  setup.control_listener = BorrowedFd(operators.release());
  return setup;
}

Result<machine::Confinement> prepare_confinement([[maybe_unused]] const Setup& setup,
                                                 const Options& options, const Config& config,
                                                 [[maybe_unused]] const machine::Control& control) {
  using machine::Confinement;
  if (!config.confine) return Confinement::off("[worker] confine = false");
  if (options.no_keeper) return Confinement::off("--no-keeper: the keeper is in this process");
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return Confinement::off("a sanitizer's report needs files and processes");
#else
  const std::string folder = std::filesystem::path(config_path(options)).parent_path();
  machine::ConfinementPlan plan{{folder.empty() ? "." : folder},
                                {setup.runtime.path, setup.state_dir}};
  // Compiling takes longer than all the rest of a takeover: the rehearsal has done it.
  const abi::TakeoverBlock& block = control.block().takeover;
  const uint64_t size = block.warm_size;
  if (size != 0 && size <= sizeof block.warm && size % sizeof(sock_filter) == 0) {
    std::vector<sock_filter> filter(size / sizeof(sock_filter));
    memcpy(filter.data(), block.warm, size);
    return Confinement::prepared(std::move(plan), std::move(filter));
  }
  return Confinement::prepare(std::move(plan));
#endif
}

void Setup::hand_on(StoredFds stored, const machine::Control& control, WorkerInput& input) const {
  input.memory = machine::MemoryLimit::open();
  input.boot = this_boot();
  input.machine = machine.text;
  input.machine_refused = machine.refused;
  input.awaited = awaited;
  input.inherits = inherits;
  input.new_listeners = new_listeners;
  input.inherited = std::move(stored.placed);
  const bool used_before = inherits || arrives_by_store || control.block().store_mark != 0;
  input.fd_store = use_fd_store(input.config.fd_store, used_before);
}

std::vector<BorrowedFd> WorkerInput::fds() const {
  std::vector<BorrowedFd> list = memory.fds();
  list.insert(list.end(), {arena, device_listener, control_listener, lock});
  return list;
}

std::vector<FdStore::Named> WorkerInput::stored_base(const machine::Control& control) const {
  std::vector<FdStore::Named> base;
  if (machine::load_word(control.block().store_mark) == 0) base.push_back({kStoreArena, arena});
  if (!base.empty() || new_listeners) {
    base.push_back({kStoreDevice, device_listener});
    base.push_back({kStoreControl, control_listener});
  }
  return base;
}

WorkerInput Setup::worker_input(const Options& options, const LoadedConfig& loaded) const {
  return {options, loaded.text.text, loaded.config,    runtime, state_dir, {},
          arena,   device_listener,  control_listener, lock};
}

Status Setup::leave(machine::Control& control, const ConfigText& text) const {
  using machine::Takeover;
  abi::TakeoverBlock& block = control.block().takeover;
  block.arena_fd = arena.get();
  block.device_fd = device_listener.get();
  block.control_fd = control_listener.get();
  block.lock_fd = lock.get();
  Takeover::set_text(block.runtime_dir, runtime.path);
  Takeover::set_text(block.state_dir, state_dir);
  Takeover::set_text(block.from, OUTLIVE_VERSION);
  return control.keep_config(text.text);
}

Result<Setup> Setup::inherit(const machine::Control& control) {
  using machine::Takeover;
  const abi::TakeoverBlock& block = control.block().takeover;
  Setup setup;
  if (const uint64_t offset = control.block().steady_offset_ns; offset != 0) {
    take_over_steady_offset(offset);
  }
  setup.machine = MachineChoice::inherit(control);
  setup.runtime.path = Takeover::text_of(block.runtime_dir);
  setup.state_dir = Takeover::text_of(block.state_dir);
  setup.awaited = AwaitedState::look(boot_facts(), setup.runtime.path, setup.state_dir);
  const std::pair<BorrowedFd*, int64_t> fds[] = {{&setup.arena, block.arena_fd},
                                                 {&setup.device_listener, block.device_fd},
                                                 {&setup.control_listener, block.control_fd},
                                                 {&setup.lock, block.lock_fd}};
  for (const auto& [fd, number] : fds) {
    *fd = BorrowedFd(static_cast<int>(number));
    TRY(sys::get_fd_flags(*fd).context("takeover: fd {}", number));
  }
  return setup;
}

void find_out_once(const machine::Control& control) {
  static_cast<void>(files::memfd_device(1));
  machine::store_word(control.block().steady_offset_ns, steady_offset_ns());
}

Status arm_from_environment() {
  const char* faults = getenv("OUTLIVE_FAULTS");
  if (faults == nullptr) return {};
  TRY(arm_faults(faults));
  kho::set_store_hook([](std::byte*, size_t) { FAULT_POINT("kho.store"); });
  return {};
}

InheritedControl inherited_control() {
  const char* number = getenv(abi::kTakeoverVariable);
  if (number == nullptr) return std::optional<machine::Control>();
  const BorrowedFd memory(atoi(number));
  unsetenv(abi::kTakeoverVariable);
  machine::Control control = TRY(machine::Control::inherit(memory).context("takeover"));
  machine::Takeover(control).note(&abi::TakeoverTimes::entered_ns, system_clock().now_ns());
  return std::optional(std::move(control));
}

std::optional<std::string> config_in_force(const Options& options,
                                           const InheritedControl& control) {
  if (control && *control) {
    Result<std::string> kept = (*control)->kept_config();
    return kept ? std::optional(kept.take()) : std::nullopt;
  }
  const char* number = getenv(abi::kRehearsalConfigVariable);
  if (options.rehearse.empty() || number == nullptr) return std::nullopt;
  const UniqueFd file(atoi(number));
  // The copy of the descriptor shares its position with the keeper's.
  Result<std::string> text = sys::read_file(fmt::format("/proc/self/fd/{}", file.get()));
  return text ? std::optional(text.take()) : std::nullopt;
}

}  // namespace outlive::daemon
