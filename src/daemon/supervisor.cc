#include "daemon/supervisor.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "base/log.h"
#include "base/sys.h"
#include "daemon/device.h"
#include "daemon/listen_address.h"
#include "daemon/notify.h"

namespace outlive::daemon {

using abi::ServiceState;
using abi::UpdateStep;

namespace {

constexpr uint64_t kSettle = 300'000'000;  // ns: alive so long counts as started
constexpr abi::ProcessWords kNoProcess{0, -1, 0, 0, -1, -1};

ServiceState state_of(const abi::ServiceSlot& service) {
  return static_cast<ServiceState>(service.state);
}

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

// The file that will be executed, held open so that a rollback can start it again.
UniqueFd open_program(const ServiceSpec& spec) {
  const std::string& program = spec.argv[0];
  if (program.find('/') != std::string::npos) {
    const std::string path = program[0] == '/' ? program : spec.cwd + "/" + program;
    Result<UniqueFd> file = sys::open(path, O_PATH);
    return file ? std::move(*file) : UniqueFd();
  }
  std::string path = variable(spec.env, "PATH");
  if (path.empty()) path = "/usr/local/bin:/usr/bin:/bin";
  for (size_t at = 0; at <= path.size();) {
    const size_t end = std::min(path.find(':', at), path.size());
    const std::string candidate = path.substr(at, end - at) + "/" + program;
    if (::access(candidate.c_str(), X_OK) == 0) {
      Result<UniqueFd> file = sys::open(candidate, O_PATH);
      if (file) return std::move(*file);
    }
    at = end + 1;
  }
  return UniqueFd();
}

}  // namespace

Supervisor::Supervisor() = default;
Supervisor::~Supervisor() = default;

void Supervisor::bind(Parts& parts, Device& device) {
  parts_ = &parts;
  device_ = &device;
  notify_ = std::make_unique<NotifySockets>(parts, *this);
  logs_ = ServiceLogs(parts.state_dir + "/log");
  if (const Status made = logs_.prepare(); !made) {
    log_warning("service logs: {}", made.error().message);
  }
}

void Supervisor::start() {
  std::set<pid_t> named;
  const auto name = [&](const abi::ProcessWords& words) {
    if (words.pid != 0) named.insert(static_cast<pid_t>(words.pid));
    if (words.notify_fd >= 0) notify_->watch(fd_of(words.notify_fd), words.instance);
  };
  std::vector<abi::ServiceSlot*> services;
  parts_->core.services().for_each([&](abi::ServiceSlot& service) {
    name(service.current);
    services.push_back(&service);
  });
  parts_->records().for_each<abi::UpdateSlot>([&](abi::UpdateSlot& update) {
    name(update.successor);
    name(update.old);
  });
  const size_t killed = machine::kill_unnamed(parts_->control, named);
  if (killed != 0) log_warning("{} children that no record names were killed", killed);
  const std::vector<int64_t> gone = take_on_processes();
  for (abi::ServiceSlot* service : services) {
    switch (state_of(*service)) {
      case ServiceState::kStarting:
        if (service->current.pid == 0) {
          if (const Status listening = open_listeners(*service, spec_of(*service)); !listening) {
            log_error("service '{}': {}", service->name, listening.error().message);
          }
          launch(*service);
        } else {
          const Status opened =
              machine::open_gate(parts_->control, static_cast<pid_t>(service->current.pid));
          static_cast<void>(opened);  // ESRCH: it is gone, its exit comes
          await_start(*service);
        }
        break;
      case ServiceState::kRunning:
        // The worker before noted the end of its process, and died before what follows from it.
        if (service->current.pid == 0 && !parts_->core.updates().restarts(*service)) {
          go_on(*service);
        }
        break;
      case ServiceState::kStopping:
        service->current.pid == 0 ? stop(*service) : terminate(*service);
        break;
      case ServiceState::kBackoff:
        due_[parts_->core.services().address_of(*service)] = parts_->now();
        break;
      default:
        break;
    }
  }
  for (const int64_t pid : gone) ended({static_cast<pid_t>(pid), 0, 0});
  parts_->core.updates().resume();
}

Status Supervisor::start_configured(const ServiceConfig& wanted) {
  if (presence(wanted.name) != Presence::kNone && presence(wanted.name) != Presence::kEnded) {
    return {};
  }
  const luo::Caller self{geteuid(), getegid(), getpid(), 0, 0};
  NewService service{wanted.name, wanted.spec, {0, 0}};
  service.spec.configured = true;
  TRY(run(self, std::move(service)));
  return {};
}

Supervisor::Presence Supervisor::presence(std::string_view name) {
  const luo::Caller self{geteuid(), getegid(), getpid(), 0, 0};
  const abi::ServiceSlot* service = parts_->core.services().find(self, name);
  if (service == nullptr || service->uid != self.uid) return Presence::kNone;
  const ServiceState state = state_of(*service);
  if (state == ServiceState::kStopped || state == ServiceState::kFailed) return Presence::kEnded;
  return spec_of(*service).configured ? Presence::kConfigured : Presence::kOwn;
}

std::optional<ServiceSpec> Supervisor::configured_spec(const abi::ServiceSlot& service) const {
  if (service.uid != geteuid() || !spec_of(service).configured) return std::nullopt;
  for (const ServiceConfig& one : parts_->config.services) {
    if (one.name != service.name) continue;
    ServiceSpec spec = one.spec;
    spec.configured = true;
    return spec;
  }
  return std::nullopt;
}

// ---- run
// ------------------------------------------------------------------------------------------

Result<abi::ServiceSlot*> Supervisor::run(const luo::Caller& caller, NewService wanted) {
  TRY(check_spec(wanted.spec));
  abi::ServiceSlot* service = parts_->core.services().find(caller, wanted.name);
  if (service != nullptr && service->uid == caller.uid &&
      state_of(*service) != ServiceState::kStopped && state_of(*service) != ServiceState::kFailed) {
    return fail(EEXIST, "service '{}' runs already (pid {}): `outlive update {}` replaces it",
                wanted.name, service->current.pid, wanted.name);
  }
  const std::string text = spec_text(wanted.spec);
  TRY(room_for(caller.uid, service, text.size()).context("service '{}'", wanted.name));
  const kho::Phys spec = TRY(parts_->core.services().make_blob(text));
  luo::Change change(parts_->records());
  uint64_t stale = 0;
  if (service != nullptr && service->uid == caller.uid) {
    stale = service->spec;
    change.set(service->spec, spec.value);
    change.set(service->spec_size, text.size());
    change.set(service->recent_deaths, 0);
    change.set(service->state, static_cast<uint64_t>(ServiceState::kStarting));
    change.set(service->request_id[0], wanted.request_id[0]);
    change.set(service->request_id[1], wanted.request_id[1]);
    parts_->core.services().generation_passed(change, *service);
  } else {
    Result<abi::ServiceSlot*> made = parts_->core.services().create(change, caller, wanted.name);
    if (!made) {
      parts_->core.services().free_blob(spec.value);
      return made.error();
    }
    service = *made;
    service->state = static_cast<uint64_t>(ServiceState::kStarting);
    service->spec = spec.value;
    service->spec_size = text.size();
    service->request_id[0] = wanted.request_id[0];
    service->request_id[1] = wanted.request_id[1];
  }
  change.commit();
  parts_->core.services().free_blob(stale);
  if (const Status listening = open_listeners(*service, wanted.spec); !listening) {
    parts_->core.remove_service(*service);
    return listening.error();
  }
  launch(*service);
  return service;
}

// In the caller's part of the arena, for a new record or one of its own that is started again.
Status Supervisor::room_for(uint64_t uid, const abi::ServiceSlot* known, uint64_t spec_size) {
  const bool again = known != nullptr && known->uid == uid;
  const uint64_t takes = kho::folio_bytes(spec_size);
  const uint64_t gives = again ? luo::Services::spec_bytes(known->spec, known->spec_size) : 0;
  if (again && takes <= gives) return {};
  return parts_->core.arena_quota().room(uid,
                                         takes - gives + (again ? 0 : sizeof(abi::ServiceSlot)));
}

std::string Supervisor::internal_name(const abi::ServiceSlot& service,
                                      std::string_view name) const {
  return fmt::format("@{:x}.{}", service.header.id, name.substr(0, 40));
}

Result<luo::Session*> Supervisor::internal_session(abi::ServiceSlot& service,
                                                   std::string_view name) {
  const std::string full = internal_name(service, name);
  const luo::Caller owner{service.uid, service.gid, 0, 0, 0};
  luo::Session* found = parts_->core.sessions().find(owner, full);
  if (found != nullptr && found->uid == service.uid) return found;
  luo::Change change(parts_->records());
  abi::SessionSlot* slot =
      TRY(parts_->core.sessions().create(change, owner, full, abi::kSessionInternal));
  slot->service = parts_->core.services().address_of(service);
  slot->generation = UINT64_MAX;  // never incoming: outlived hands its files over itself
  change.commit();
  return &parts_->core.sessions().index(*slot);
}

Status Supervisor::open_listeners(abi::ServiceSlot& service, const ServiceSpec& spec) {
  for (size_t i = 0; i < spec.listen.size(); ++i) {
    const ListenAddress address = TRY(parse_listen_address(spec.listen[i]));
    luo::Session* session = TRY(internal_session(service, fmt::format("listen.{}", address.name)));
    const uint64_t token = i + 1;
    if (session->files.find(token) != nullptr) continue;  // of the life before
    UniqueFd listener = TRY(open_listener(address, service.uid));
    luo::Change change(parts_->records());
    const luo::NewFile file{token, listener};
    auto preserving = TRY(parts_->core.files().preserve(change, *session, {&file, 1}));
    change.commit();
    preserving.committed();
    static_cast<void>(listener.release());
  }
  return {};
}

void Supervisor::launch(abi::ServiceSlot& service) {
  const uint64_t address = parts_->core.services().address_of(service);
  late_.erase(address);
  const ServiceSpec spec = spec_of(service);
  abi::ProcessWords process = kNoProcess;
  Result<machine::LaunchSpec> prepared = launch_spec(service, spec, process, -1);
  {
    luo::Change change(parts_->records());
    forget_process(change, service.current);
    change.set(service.current, process);
    change.set(service.state, static_cast<uint64_t>(ServiceState::kStarting));
    change.set(service.flags, service.flags & ~abi::kServiceReady);
    change.commit();
  }
  observer.service_changed(service);
  if (!prepared) {
    log_error("service '{}': {}", service.name, prepared.error().message);
    set_state(service, ServiceState::kFailed);
    return;
  }
  submit(std::move(*prepared), [this, address, process](Result<machine::Launched> result) {
    launched(address, process, result);
  });
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
                                                    abi::ProcessWords& process,
                                                    int64_t program_fd) {
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
  process.instance = new_instance();
  UniqueFd notify =
      TRY(notify_->make(process.instance, service.uid).context("service '{}'", service.name));
  launch.env.push_back("NOTIFY_SOCKET=" + notify_->path(process.instance));
  launch.env.push_back("OUTLIVE_RUNTIME_DIR=" + parts_->runtime.path);
  launch.env.push_back(fmt::format("OUTLIVE_SERVICE={}", service.name));
  launch.env.push_back(fmt::format("OUTLIVE_INSTANCE={}", process.instance));
  TRY(add_listen_fds(service, spec, launch));
  if (program_fd >= 0) {
    launch.program_fd = fd_of(program_fd);
    process.binary_fd = program_fd;
  } else if (!spec.argv.empty()) {
    UniqueFd program = open_program(spec);
    if (program) TRY(sys::set_cloexec(program, false));  // crosses the exec of another outlived
    process.binary_fd = program.release();
  }
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

ServiceSpec Supervisor::spec_of(const abi::ServiceSlot& service) const {
  Result<ServiceSpec> spec =
      parse_spec(parts_->core.services().read_blob(service.spec, service.spec_size));
  if (spec) return std::move(*spec);
  log_error("service '{}': {}", service.name, spec.error().message);
  return {};
}

std::vector<std::string> Supervisor::last_words(const abi::ServiceSlot& service,
                                                size_t lines) const {
  std::vector<std::string> list;
  const auto read = logs_.read(service.name, service.uid, lines, -1);
  if (!read) return list;
  std::string_view text = read->text;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    list.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return list;
}

}  // namespace outlive::daemon
