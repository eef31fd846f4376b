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

constexpr abi::ProcessWords kNoProcess{0, -1, 0, 0, -1, -1};

ServiceState state_of(const abi::ServiceSlot& service) {
  return static_cast<ServiceState>(service.state);
}

BorrowedFd fd_of(int64_t number) {
  return BorrowedFd(static_cast<int>(number));
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
    // Of the others stop_all() takes care.
    if (keeps_services() && state_of(*service) != ServiceState::kStopping) continue;
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
    fresh_.erase(parts_->core.services().address_of(*service));
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
    fresh_.insert(parts_->core.services().address_of(*service));
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

const ServiceSpec& Supervisor::known_spec(const abi::ServiceSlot& service) const {
  std::string text = parts_->core.services().read_blob(service.spec, service.spec_size);
  Parsed& known = specs_[parts_->core.services().address_of(service)];
  if (!text.empty() && known.text == text) return known.spec;
  Result<ServiceSpec> spec = parse_spec(text);
  if (!spec) log_error("service '{}': {}", service.name, spec.error().message);
  known = {std::move(text), spec ? std::move(*spec) : ServiceSpec()};
  return known.spec;
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
