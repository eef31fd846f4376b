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

constexpr uint64_t kSettle = 300'000'000;           // ns: alive so long counts as started
constexpr uint64_t kLongUp = 10'000'000'000;        // ns: a death after this is a first one again
constexpr uint64_t kMostDeaths = 12;                // in a row, then the service has failed
constexpr uint64_t kFirstPause = 100'000'000;       // ns, doubled each time
constexpr uint64_t kLongestPause = 10'000'000'000;  // ns
constexpr abi::ProcessWords kNoProcess{0, -1, 0, 0, -1, -1};

ServiceState state_of(const abi::ServiceSlot& service) {
  return static_cast<ServiceState>(service.state);
}

BorrowedFd fd_of(int64_t number) { return BorrowedFd(static_cast<int>(number)); }

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
          due_[parts_->core.services().address_of(*service)] = parts_->now() + kSettle;
        }
        break;
      case ServiceState::kStopping: terminate(*service); break;
      case ServiceState::kBackoff:
        due_[parts_->core.services().address_of(*service)] = parts_->now();
        break;
      default: break;
    }
  }
  parts_->core.updates().resume();
}

void Supervisor::start_configured() {
  const luo::Caller self{geteuid(), getegid(), getpid(), 0, 0};
  for (const ServiceConfig& one : parts_->config.services) {
    if (parts_->core.services().find(self, one.name) != nullptr) continue;
    NewService service{one.name, one.spec, {0, 0}};
    service.spec.configured = true;
    const auto started = run(self, std::move(service));
    if (!started) log_error("service '{}': {}", one.name, started.error().message);
  }
}

// ---- run ------------------------------------------------------------------------------------------

Result<abi::ServiceSlot*> Supervisor::run(const luo::Caller& caller, NewService wanted) {
  TRY(check_spec(wanted.spec));
  abi::ServiceSlot* service = parts_->core.services().find(caller, wanted.name);
  if (service != nullptr && service->uid == caller.uid &&
      state_of(*service) != ServiceState::kStopped && state_of(*service) != ServiceState::kFailed) {
    return fail(EEXIST, "service '{}' runs already (pid {}): `outlive update {}` replaces it",
                wanted.name, service->current.pid, wanted.name);
  }
  const std::string text = spec_text(wanted.spec);
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
    Result<abi::ServiceSlot*> made =
        parts_->core.services().create(change, caller, wanted.name);
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

std::string Supervisor::internal_name(const abi::ServiceSlot& service, std::string_view name) const {
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
  const ServiceSpec spec = spec_of(*service);
  const uint64_t timeout = spec.ready_timeout_ms != 0 ? spec.ready_timeout_ms * 1'000'000
                                                      : parts_->config.times.ready;
  due_[address] = parts_->now() + (spec.notify ? timeout : kSettle);
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
  UniqueFd notify = TRY(notify_->make(process.instance).context("service '{}'", service.name));
  launch.env.push_back("NOTIFY_SOCKET=" + notify_->path(process.instance));
  launch.env.push_back("OUTLIVE_RUNTIME_DIR=" + parts_->runtime.path);
  launch.env.push_back(fmt::format("OUTLIVE_SERVICE={}", service.name));
  launch.env.push_back(fmt::format("OUTLIVE_INSTANCE={}", process.instance));
  TRY(add_listen_fds(service, spec, launch));
  Result<UniqueFd> log = logs_.open(service.name, service.uid, service.gid);
  if (log) {
    // Stays open until the launch is done: submit() sees to it.
    const BorrowedFd file(log->release());
    launch.fds.push_back({file, STDOUT_FILENO});
    launch.fds.push_back({file, STDERR_FILENO});
  } else {
    log_warning("service '{}': no log: {}", service.name, log.error().message);
  }
  if (program_fd >= 0) {
    launch.program_fd = fd_of(program_fd);
    process.binary_fd = program_fd;
  } else if (!spec.argv.empty()) {
    process.binary_fd = open_program(spec).release();
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

// ---- who is who -------------------------------------------------------------------------------------

Supervisor::Identity Supervisor::identify(int64_t pid, uint64_t instance) {
  Identity identity;
  const auto is = [&](const abi::ProcessWords& words) {
    return (words.pid != 0 && words.pid == pid) || (instance != 0 && words.instance == instance);
  };
  parts_->core.services().for_each([&](abi::ServiceSlot& service) {
    const uint64_t address = parts_->core.services().address_of(service);
    if (is(service.current)) {
      identity.service = address;
      identity.generation = service.generation;
      identity.role = service.outgoing_from == service.generation && service.generation > 1
                          ? abi::Role::kRestarted
                          : abi::Role::kFresh;
    }
    const abi::UpdateSlot* update = parts_->core.updates().active(service);
    if (update == nullptr) return;
    if (is(update->successor) && !is(service.current)) {
      identity = {address, service.generation + 1, update->header.id, abi::Role::kSuccessor};
    } else if (is(update->old)) {
      identity = {address, update->from_generation, 0, abi::Role::kFresh};
    }
  });
  if (identity.role == abi::Role::kRestarted) {
    bool any = false;
    parts_->core.sessions().for_each([&](luo::Session& session) {
      any = any || (session.slot->service == identity.service &&
                    parts_->core.sessions().direction(session) == luo::Direction::kIncoming);
    });
    if (!any) identity.role = abi::Role::kFresh;
  }
  return identity;
}

bool Supervisor::is_dying(int64_t pid) const {
  constexpr unsigned long kPfExiting = 0x4;  // include/linux/sched.h, field 9 of /proc/PID/stat
  const Result<std::string> stat = sys::read_file(fmt::format("/proc/{}/stat", pid), 4096);
  if (!stat) return true;
  const size_t end = stat->rfind(')');
  if (end == std::string::npos) return true;
  char state = 'Z';
  unsigned long flags = 0;
  if (sscanf(stat->c_str() + end + 1, " %c %*d %*d %*d %*d %*d %lu", &state, &flags) != 2) {
    return true;
  }
  return state == 'Z' || state == 'X' || (flags & kPfExiting) != 0;
}

abi::ServiceSlot* Supervisor::by_instance(uint64_t instance, bool* successor,
                                          abi::UpdateSlot** update) {
  abi::ServiceSlot* found = nullptr;
  *successor = false;
  *update = nullptr;
  parts_->core.services().for_each([&](abi::ServiceSlot& service) {
    if (service.current.instance == instance) found = &service;
    abi::UpdateSlot* active = parts_->core.updates().active(service);
    if (active != nullptr && active->successor.instance == instance &&
        service.current.instance != instance) {
      found = &service;
      *successor = true;
      *update = active;
    }
  });
  return found;
}

void Supervisor::service_ready(abi::ServiceSlot& service) {
  if (state_of(service) != ServiceState::kStarting) return;
  due_.erase(parts_->core.services().address_of(service));
  luo::Change change(parts_->records());
  change.set(service.state, static_cast<uint64_t>(ServiceState::kRunning));
  change.set(service.flags, service.flags | abi::kServiceReady);
  change.commit();
  log_info("service '{}': running", service.name);
  observer.service_changed(service);
}

void Supervisor::notify_ready(uint64_t instance) {
  bool successor = false;
  abi::UpdateSlot* update = nullptr;
  abi::ServiceSlot* service = by_instance(instance, &successor, &update);
  if (service == nullptr) return;
  if (!successor) {
    service_ready(*service);
    return;
  }
  if (device_->has_participant(update->service, service->generation + 1)) return;
  settling_.erase(update->successor.pid);
  const Status taken = parts_->core.updates().ready(*service, 0, service->generation + 1,
                                                    abi::Step::kStart, update->header.id);
  if (!taken) log_info("service '{}': {}", service->name, taken.error().message);
}

void Supervisor::notify_stopping(uint64_t instance) {
  bool successor = false;
  abi::UpdateSlot* update = nullptr;
  const abi::ServiceSlot* service = by_instance(instance, &successor, &update);
  if (service != nullptr) log_info("service '{}': says that it stops", service->name);
}

Status Supervisor::store_fd(uint64_t instance, std::string_view name, UniqueFd fd) {
  bool successor = false;
  abi::UpdateSlot* update = nullptr;
  abi::ServiceSlot* service = by_instance(instance, &successor, &update);
  const auto give_up = [&](Error error) {
    parts_->closer.close(BorrowedFd(fd.release()));
    return error;
  };
  if (service == nullptr) return give_up(fail(ENOENT, "instance {:x} is unknown", instance));
  Result<luo::Session*> session =
      internal_session(*service, fmt::format("store.{}", name.substr(0, 32)));
  if (!session) return give_up(session.take_error());
  uint64_t token = 1;
  while ((*session)->files.find(token) != nullptr) ++token;
  if (const Status kept = sys::set_cloexec(fd, false); !kept) return give_up(kept.error());
  luo::Change change(parts_->records());
  const luo::NewFile file{token, fd};
  auto preserving = parts_->core.files().preserve(change, **session, {&file, 1});
  if (!preserving) return give_up(preserving.take_error());
  change.commit();
  preserving->committed();
  static_cast<void>(fd.release());
  return {};
}

Status Supervisor::remove_stored(uint64_t instance, std::string_view name) {
  bool successor = false;
  abi::UpdateSlot* update = nullptr;
  const abi::ServiceSlot* service = by_instance(instance, &successor, &update);
  if (service == nullptr) return fail(ENOENT, "instance {:x} is unknown", instance);
  const luo::Caller owner{service->uid, service->gid, 0, 0, 0};
  luo::Session* session = parts_->core.sessions().find(
      owner, internal_name(*service, fmt::format("store.{}", name.substr(0, 32))));
  if (session == nullptr) return fail(ENOENT, "nothing is stored under '{}'", name);
  return parts_->core.end_session(*session, false);
}

// ---- ends -------------------------------------------------------------------------------------------

void Supervisor::forget_process(luo::Change& change, abi::ProcessWords& words) {
  if (words.notify_fd >= 0) notify_->drop(fd_of(words.notify_fd), words.instance);
  if (words.binary_fd >= 0) parts_->closer.close(fd_of(words.binary_fd));
  change.set(words, kNoProcess);
}

void Supervisor::child_exited(const machine::ChildExit& exit) {
  kill_group(exit.pid, SIGKILL);  // what it left behind in its process group
  abi::ServiceSlot* of_current = nullptr;
  abi::ServiceSlot* of_update = nullptr;
  abi::UpdateSlot* update = nullptr;
  parts_->core.services().for_each([&](abi::ServiceSlot& service) {
    abi::UpdateSlot* active = parts_->core.updates().active(service);
    if (active != nullptr && (active->successor.pid == exit.pid || active->old.pid == exit.pid) &&
        service.current.pid != exit.pid) {
      of_update = &service;
      update = active;
    } else if (service.current.pid == exit.pid) {
      of_current = &service;
    }
  });
  settling_.erase(exit.pid);
  if (of_update != nullptr) {
    abi::ProcessWords& words = update->old.pid == exit.pid ? update->old : update->successor;
    if (words.notify_fd >= 0) {
      notify_->drop(fd_of(words.notify_fd), words.instance);
      luo::Change change(parts_->records());
      change.set(words.notify_fd, int64_t{-1});
      change.commit();
    }
    parts_->core.updates().process_ended(*of_update, exit.pid, exit.text());
  } else if (of_current != nullptr) {
    if (state_of(*of_current) != ServiceState::kStopping) {
      log_warning("service '{}': pid {} ended: {}", of_current->name, exit.pid, exit.text());
    }
    parts_->core.updates().process_ended(*of_current, exit.pid, exit.text());
    died(*of_current, exit);
  }
}

void Supervisor::died(abi::ServiceSlot& service, const machine::ChildExit& exit) {
  const uint64_t address = parts_->core.services().address_of(service);
  due_.erase(address);
  if (state_of(service) == ServiceState::kStopping) {
    {
      luo::Change change(parts_->records());
      forget_process(change, service.current);
      change.commit();
    }
    log_info("service '{}': stopped", service.name);
    parts_->core.remove_service(service);
    observer.service_gone(address);
    stop_next();
    return;
  }
  const ServiceSpec spec = spec_of(service);
  const bool clean = exit.code == CLD_EXITED && exit.status == 0;
  // A first start that fails has failed; one that had served and is being restarted is tried again.
  const bool was_ready = (service.flags & abi::kServiceReady) != 0 || service.recent_deaths != 0;
  const bool long_up = parts_->now() - service.current.start_ns >= kLongUp;
  const uint64_t deaths = long_up ? 1 : service.recent_deaths + 1;
  // An update that goes forward brings the next process itself.
  const bool update_goes_on = parts_->core.updates().active(service) != nullptr;
  const bool again = !update_goes_on && was_ready && deaths < kMostDeaths &&
                     (spec.restart == "always" || (spec.restart == "on-failure" && !clean));
  uint64_t pause = 0;
  if (deaths > 3) pause = std::min(kLongestPause, kFirstPause << std::min<uint64_t>(deaths - 4, 10));
  {
    luo::Change change(parts_->records());
    forget_process(change, service.current);
    change.set(service.exit_status, exit.packed());
    change.set(service.recent_deaths, deaths);
    if (!update_goes_on) {
      // What it had is offered to the next one; one store.
      parts_->core.services().generation_passed(change, service);
      change.set(service.state,
                 static_cast<uint64_t>(again   ? ServiceState::kBackoff
                                       : clean ? ServiceState::kStopped
                                               : ServiceState::kFailed));
    }
    if (again) change.set(service.restarts, service.restarts + 1);
    change.commit();
  }
  observer.service_changed(service);
  if (again && pause == 0) {
    launch(service);
  } else if (again) {
    log_warning("service '{}': ended {} times in a row, the next start is in {} ms", service.name,
                deaths, pause / 1'000'000);
    due_[address] = parts_->now() + pause;
  } else if (!update_goes_on && deaths >= kMostDeaths) {
    log_error("service '{}': ended {} times in a row, it is not started again", service.name,
              deaths);
  }
}

void Supervisor::set_state(abi::ServiceSlot& service, ServiceState state) {
  luo::Change change(parts_->records());
  change.set(service.state, static_cast<uint64_t>(state));
  change.commit();
  observer.service_changed(service);
}

void Supervisor::stop(abi::ServiceSlot& service) {
  if (abi::UpdateSlot* update = parts_->core.updates().active(service)) {
    const Status cancelled =
        parts_->core.updates().cancel(*update, ECANCELED, "the service is being stopped");
    static_cast<void>(cancelled);  // after commit: the old one is retiring anyway
  }
  const uint64_t address = parts_->core.services().address_of(service);
  if (service.current.pid == 0) {
    parts_->core.remove_service(service);
    observer.service_gone(address);
    stop_next();
    return;
  }
  set_state(service, ServiceState::kStopping);
  terminate(service);
}

void Supervisor::terminate(abi::ServiceSlot& service) {
  const auto pid = static_cast<pid_t>(service.current.pid);
  const Status asked = machine::signal_child(parts_->control, pid, SIGTERM);
  static_cast<void>(asked);  // ESRCH: its exit is on the way
  due_[parts_->core.services().address_of(service)] =
      parts_->now() + spec_of(service).stop_timeout_ms * 1'000'000;
}

void Supervisor::stop_all(std::function<void()> done) {
  all_stopped_ = std::move(done);
  std::vector<abi::ServiceSlot*> services;
  parts_->core.services().for_each([&](abi::ServiceSlot& one) { services.push_back(&one); });
  std::sort(services.begin(), services.end(),
            [](const auto* a, const auto* b) { return a->header.id > b->header.id; });
  for (const abi::ServiceSlot* one : services) {
    stop_queue_.push_back(parts_->core.services().address_of(*one));
  }
  stop_next();
}

void Supervisor::stop_next() {
  if (!all_stopped_) return;
  while (!stop_queue_.empty()) {
    abi::ServiceSlot* service = parts_->core.services().at(stop_queue_.front());
    stop_queue_.pop_front();
    if (service == nullptr) continue;
    stop(*service);
    return;
  }
  bool any = false;
  parts_->core.services().for_each([&](abi::ServiceSlot&) { any = true; });
  if (any) return;
  auto done = std::move(all_stopped_);
  all_stopped_ = nullptr;
  done();
}

void Supervisor::kill_group(int64_t pid, int signal) {
  if (pid <= 1) return;
  const Status sent = sys::kill(static_cast<pid_t>(-pid), signal);
  static_cast<void>(sent);  // ESRCH: nobody is left in it
}

void Supervisor::tick(uint64_t now_ns) {
  std::vector<uint64_t> due;
  for (const auto& [address, at] : due_) {
    if (at <= now_ns) due.push_back(address);
  }
  for (const uint64_t address : due) {
    due_.erase(address);
    abi::ServiceSlot* service = parts_->core.services().at(address);
    if (service == nullptr) continue;
    switch (state_of(*service)) {
      case ServiceState::kStopping:
        log_warning("service '{}': did not stop in time, it is killed", service->name);
        kill_group(service->current.pid, SIGKILL);
        break;
      case ServiceState::kBackoff: launch(*service); break;
      case ServiceState::kStarting: {
        const bool says = spec_of(*service).notify ||
                          device_->has_participant(address, service->generation);
        if (!says) {
          service_ready(*service);
        } else if (parts_->now() - service->current.start_ns < parts_->config.times.ready &&
                   !spec_of(*service).notify) {
          due_[address] = service->current.start_ns + parts_->config.times.ready;
        } else {
          log_error("service '{}': did not say READY in time, it is killed", service->name);
          kill_group(service->current.pid, SIGKILL);
        }
        break;
      }
      default: break;
    }
  }
  for (auto it = settling_.begin(); it != settling_.end();) {
    if (it->second > now_ns) {
      ++it;
      continue;
    }
    const Identity who = identify(it->first, 0);
    it = settling_.erase(it);
    abi::ServiceSlot* service = parts_->core.services().at(who.service);
    if (service == nullptr || who.role != abi::Role::kSuccessor) continue;
    if (device_->has_participant(who.service, service->generation) ||
        device_->has_participant(who.service, service->generation + 1)) {
      continue;  // then it is asked, and has its own time-out
    }
    const Status taken = parts_->core.updates().ready(*service, 0, service->generation + 1,
                                                      abi::Step::kStart, who.update);
    static_cast<void>(taken);
    break;  // the update may have changed the map
  }
}

uint64_t Supervisor::next_deadline() const {
  uint64_t earliest = UINT64_MAX;
  for (const auto& [address, at] : due_) earliest = std::min(earliest, at);
  for (const auto& [pid, at] : settling_) earliest = std::min(earliest, at);
  return earliest == UINT64_MAX ? 0 : earliest;
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
