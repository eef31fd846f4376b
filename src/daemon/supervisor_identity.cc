// Who is who: processes, instances, what they say by sd_notify and store.
#include <stdio.h>

#include "base/log.h"
#include "base/sys.h"
#include "daemon/device.h"
#include "daemon/supervisor.h"

namespace outlive::daemon {

using abi::ServiceState;

namespace {

ServiceState state_of(const abi::ServiceSlot& service) {
  return static_cast<ServiceState>(service.state);
}

}  // namespace

// ---- who is who
// -------------------------------------------------------------------------------------

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

}  // namespace outlive::daemon
