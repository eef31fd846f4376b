// How a service gets its process: listeners, program, launch.
//
// Happy path:   launch: the record says starting -> listeners at paths are bound, the program is
//               looked up (machine/process/opener.h: a path may be where nothing answers) -> the
//               record gets what the process will have -> launched, gate opened
// Unhappy path: a path can't be looked up in time: a first start has not begun at all, any other is
//               tried again as after a death. A worker that dies in between: the record says
//               starting and names no process, so the next one begins again.
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sys.h"
#include "daemon/listen_address.h"
#include "daemon/notify.h"
#include "daemon/supervisor.h"

namespace outlive::daemon {

using abi::ServiceState;

namespace {

constexpr uint64_t kSettle = 300'000'000;  // ns: alive so long counts as started
constexpr abi::ProcessWords kNoProcess{0, -1, 0, 0, -1, -1};

BorrowedFd fd_of(int64_t number) {
  return BorrowedFd(static_cast<int>(number));
}

std::string variable(const std::vector<std::string>& env, std::string_view name) {
  for (const std::string& one : env) {
    if (one.starts_with(name) && one.size() > name.size() && one[name.size()] == '=') {
      return one.substr(name.size() + 1);
    }
  }
  return {};
}

}  // namespace

// ---- its listeners ------------------------------------------------------------------------------

Status Supervisor::open_listeners(abi::ServiceSlot& service, const ServiceSpec& spec) {
  for (size_t i = 0; i < spec.listen.size(); ++i) {
    const ListenAddress address = TRY(parse_listen_address(spec.listen[i]));
    TRY(may_listen(address, service.uid));
    if (address.at_path()) continue;  // launch() sees to it
    const luo::Session* session = TRY(listen_session(service, address));
    if (session->files.find(i + 1) != nullptr) continue;  // of the life before
    UniqueFd listener = TRY(open_listener(address, service.uid));
    TRY(keep_listener(service, address, i, std::move(listener)));
  }
  return {};
}

Result<luo::Session*> Supervisor::listen_session(abi::ServiceSlot& service,
                                                 const ListenAddress& address) {
  return internal_session(service, fmt::format("listen.{}", address.name));
}

Status Supervisor::keep_listener(abi::ServiceSlot& service, const ListenAddress& address,
                                 size_t index, UniqueFd listener) {
  luo::Session* session = TRY(listen_session(service, address));
  luo::Change change(parts_->records());
  const luo::NewFile file{index + 1, listener};
  auto preserving = TRY(parts_->core.files().preserve(change, *session, {&file, 1}));
  change.commit();
  preserving.committed();
  static_cast<void>(listener.release());
  return {};
}

// The first at a path that it doesn't have yet.
std::optional<size_t> Supervisor::next_path(abi::ServiceSlot& service, const ServiceSpec& spec,
                                            size_t from) {
  for (size_t i = from; i < spec.listen.size(); ++i) {
    const Result<ListenAddress> address = parse_listen_address(spec.listen[i]);
    if (!address || !address->at_path() || !may_listen(*address, service.uid)) continue;
    const Result<luo::Session*> session = listen_session(service, *address);
    if (!session || (*session)->files.find(i + 1) == nullptr) return i;
  }
  return std::nullopt;
}

void Supervisor::listen_at_path(abi::ServiceSlot& service, const ServiceSpec& spec, size_t index) {
  const ListenAddress address = parse_listen_address(spec.listen[index]).take();
  const uint64_t slot = parts_->core.services().address_of(service);
  Result<UniqueFd> socket = listener_socket(address);
  if (!socket) return cannot_listen(service, spec, index, socket.error());
  // A relative path is from outlived's own folder, as ever.
  machine::Opener::Request wanted{geteuid(), getegid(), address.path(), ".", {}, {}};
  wanted.socket = std::move(*socket);
  parts_->opener.open(
      std::move(wanted),
      [this, slot, address, index, instance = service.current.instance](Result<UniqueFd> bound) {
        abi::ServiceSlot* starts = starting(slot, instance);
        if (starts == nullptr) return parts_->opener.drop(std::move(bound));
        Status kept = bound ? start_listening(*bound, address) : Status(bound.error());
        if (kept) kept = keep_listener(*starts, address, index, std::move(*bound));
        const ServiceSpec now = spec_of(*starts);
        if (!kept) {
          return cannot_listen(*starts, now, index,
                               std::move(kept).context("listen at {}", address.text).error());
        }
        prepare_launch(*starts, now, index + 1);
      });
}

// One that has served goes on without it, and says so.
void Supervisor::cannot_listen(abi::ServiceSlot& service, const ServiceSpec& spec, size_t index,
                               const Error& error) {
  if (fresh_.contains(parts_->core.services().address_of(service))) {
    return could_not_start(service, error);
  }
  log_error("service '{}': {}", service.name, error.message);
  prepare_launch(service, spec, index + 1);
}

// ---- its program --------------------------------------------------------------------------------

machine::Opener::Request Supervisor::program_request(const abi::ServiceSlot& service,
                                                     const ServiceSpec& spec) {
  return {static_cast<uid_t>(service.uid),
          static_cast<gid_t>(service.gid),
          spec.argv.empty() ? "" : spec.argv[0],
          spec.cwd,
          variable(spec.env, "PATH"),
          {}};
}

// Whoever executes it would wait as long; any other error the new process will have, too, and tells
// of it in its log.
bool Supervisor::is_out_of_reach(const Result<UniqueFd>& program) {
  return !program && (program.error().code == ETIMEDOUT || program.error().code == EAGAIN);
}

// ---- launch -------------------------------------------------------------------------------------

void Supervisor::launch(abi::ServiceSlot& service) {
  if (keeps_services()) return rest(service);
  const uint64_t address = parts_->core.services().address_of(service);
  late_.erase(address);
  not_begun_.erase(address);
  abi::ProcessWords process = kNoProcess;
  process.instance = new_instance();
  {
    luo::Change change(parts_->records());
    forget_process(change, service.current);
    change.set(service.current, process);
    change.set(service.state, static_cast<uint64_t>(ServiceState::kStarting));
    change.set(service.flags, service.flags & ~abi::kServiceReady);
    change.commit();
  }
  observer.service_changed(service);
  prepare_launch(service, spec_of(service), 0);
}

// The service that is to have this process, if it still is.
abi::ServiceSlot* Supervisor::starting(uint64_t address, uint64_t instance) {
  abi::ServiceSlot* service = parts_->core.services().at(address);
  const bool waits = service != nullptr && service->current.instance == instance &&
                     service->current.pid == 0 &&
                     service->state == static_cast<uint64_t>(ServiceState::kStarting);
  return waits ? service : nullptr;
}

void Supervisor::prepare_launch(abi::ServiceSlot& service, const ServiceSpec& spec, size_t from) {
  if (const auto index = next_path(service, spec, from)) {
    return listen_at_path(service, spec, *index);
  }
  const uint64_t address = parts_->core.services().address_of(service);
  const uint64_t instance = service.current.instance;
  parts_->opener.open(program_request(service, spec),
                      [this, address, instance](Result<UniqueFd> program) {
                        abi::ServiceSlot* starts = starting(address, instance);
                        if (starts == nullptr) return parts_->opener.drop(std::move(program));
                        if (is_out_of_reach(program)) {
                          return could_not_start(*starts, program.error());
                        }
                        launch_now(*starts, std::move(program));
                      });
}

void Supervisor::launch_now(abi::ServiceSlot& service, Result<UniqueFd> program) {
  const uint64_t address = parts_->core.services().address_of(service);
  abi::ProcessWords process = service.current;
  Result<machine::LaunchSpec> prepared = launch_spec(service, spec_of(service), process);
  if (!prepared) {
    parts_->opener.drop(std::move(program));
    log_error("service '{}': {}", service.name, prepared.error().message);
    set_state(service, ServiceState::kFailed);
    return;
  }
  if (program) process.binary_fd = program->release();
  {
    luo::Change change(parts_->records());
    change.set(service.current, process);
    change.commit();
  }
  submit(std::move(*prepared), [this, address, process](Result<machine::Launched> result) {
    launched(address, process, result);
  });
}

void Supervisor::could_not_start(abi::ServiceSlot& service, const Error& error) {
  const uint64_t address = parts_->core.services().address_of(service);
  log_error("service '{}': {}", service.name, error.message);
  not_begun_[address] = error;
  if (!fresh_.contains(address)) return go_on(service);
  // Who waits hears why, and nothing is left.
  set_state(service, ServiceState::kFailed);
  stop(service);
}

void Supervisor::submit(machine::LaunchSpec launch, machine::LaunchQueue::Callback callback) {
  BorrowedFd log;
  for (const machine::LaunchFd& one : launch.fds) {
    if (one.target == STDOUT_FILENO) log = one.fd;
  }
  parts_->launches.submit(
      std::move(launch), [this, log, done = std::move(callback)](Result<machine::Launched> result) {
        if (log.valid()) parts_->closer.close(log);
        done(std::move(result));
      });
}

void Supervisor::launched(uint64_t address, const abi::ProcessWords& process,
                          const Result<machine::Launched>& result) {
  abi::ServiceSlot* service = parts_->core.services().at(address);
  const bool wanted = service != nullptr && service->current.instance == process.instance;
  if (!result) {
    if (!wanted) return;
    log_error("service '{}': {}", service->name, result.error().message);
    set_state(*service, ServiceState::kFailed);
    return;
  }
  if (!wanted) {  // stopped meanwhile
    const Status gone = machine::signal_child(parts_->control, result->pid, SIGKILL);
    static_cast<void>(gone);
    return;
  }
  {
    luo::Change change(parts_->records());
    change.set(service->current.pid, static_cast<int64_t>(result->pid));
    change.set(service->current.pidfd, static_cast<int64_t>(result->pidfd.get()));
    change.set(service->current.start_ns, parts_->now());
    change.commit();
  }
  if (const Status opened = machine::open_gate(parts_->control, result->pid); !opened) {
    log_warning("service '{}': {}", service->name, opened.error().message);
  }
  fresh_.erase(address);
  log_info("service '{}': started, pid {}", service->name, result->pid);
  await_start(*service);
}

// Of a process that runs, maybe since before this worker was there.
void Supervisor::await_start(const abi::ServiceSlot& service) {
  const ServiceSpec spec = spec_of(service);
  const uint64_t timeout =
      spec.ready_timeout_ms != 0 ? spec.ready_timeout_ms * 1'000'000 : parts_->config.times.ready;
  due_[parts_->core.services().address_of(service)] =
      spec.notify ? service.current.start_ns + timeout : parts_->now() + kSettle;
}

Result<machine::LaunchSpec> Supervisor::launch_spec(const abi::ServiceSlot& service,
                                                    const ServiceSpec& spec,
                                                    abi::ProcessWords& process) {
  machine::LaunchSpec launch;
  launch.program = spec.argv.empty() ? "" : spec.argv[0];
  launch.argv = spec.argv;
  launch.cwd = spec.cwd;
  launch.uid = static_cast<uid_t>(service.uid);
  launch.gid = static_cast<gid_t>(service.gid);
  for (const std::string& one : spec.env) {
    if (!one.starts_with("LISTEN_") && !one.starts_with("OUTLIVE_") &&
        !one.starts_with("NOTIFY_SOCKET=")) {
      launch.env.push_back(one);
    }
  }
  UniqueFd notify =
      TRY(notify_->make(process.instance, service.uid).context("service '{}'", service.name));
  launch.env.push_back("NOTIFY_SOCKET=" + notify_->path(process.instance));
  launch.env.push_back("OUTLIVE_RUNTIME_DIR=" + parts_->runtime.path);
  launch.env.push_back(fmt::format("OUTLIVE_SERVICE={}", service.name));
  launch.env.push_back(fmt::format("OUTLIVE_INSTANCE={}", process.instance));
  TRY(add_listen_fds(service, spec, launch));
  // Last: from here on nothing fails that would have to close it.
  Result<UniqueFd> log = logs_.open(service.name, service.uid, service.gid);
  if (log) {
    // Stays open until the launch is done: submit() sees to it.
    const BorrowedFd file(log->release());
    launch.fds.push_back({file, STDOUT_FILENO});
    launch.fds.push_back({file, STDERR_FILENO});
  } else {
    log_warning("service '{}': no log: {}", service.name, log.error().message);
  }
  process.notify_fd = notify.release();
  return launch;
}

Status Supervisor::add_listen_fds(const abi::ServiceSlot& service, const ServiceSpec& spec,
                                  machine::LaunchSpec& into) {
  std::vector<std::string> names;
  int target = 3;
  const luo::Caller owner{service.uid, service.gid, 0, 0, 0};
  for (size_t i = 0; i < spec.listen.size(); ++i) {
    const ListenAddress address = TRY(parse_listen_address(spec.listen[i]));
    luo::Session* session = parts_->core.sessions().find(
        owner, internal_name(service, fmt::format("listen.{}", address.name)));
    const abi::FileSlot* slot = session != nullptr ? session->files.find(i + 1) : nullptr;
    if (slot == nullptr) continue;
    into.fds.push_back({fd_of(slot->fd), target++});
    names.push_back(address.name);
  }
  const std::string prefix = internal_name(service, "store.");
  std::vector<luo::Session*> stores;
  parts_->core.sessions().for_each([&](luo::Session& session) {
    if (session.name.starts_with(prefix)) stores.push_back(&session);
  });
  for (const abi::FileSlot* slot : parts_->core.files().ordered(stores)) {
    into.fds.push_back({fd_of(slot->fd), target++});
    names.push_back(parts_->core.sessions().at(slot->session)->name.substr(prefix.size()));
  }
  if (names.empty()) return {};
  std::string joined;
  for (const std::string& name : names) joined += (joined.empty() ? "" : ":") + name;
  into.env.push_back(fmt::format("LISTEN_FDS={}", names.size()));
  into.env.push_back("LISTEN_FDNAMES=" + joined);
  return {};
}

uint64_t Supervisor::new_instance() const {
  uint64_t random = 0;
  while (random == 0) {
    if (::getrandom(&random, sizeof random, 0) != sizeof random) random = 0;
  }
  return random;
}

}  // namespace outlive::daemon
