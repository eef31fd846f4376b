// Ends: of processes, of services, of everything; and what is due.
#include <signal.h>
#include <sys/wait.h>

#include <algorithm>

#include "base/fault.h"
#include "base/log.h"
#include "base/sys.h"
#include "daemon/device.h"
#include "daemon/notify.h"
#include "daemon/supervisor.h"

namespace outlive::daemon {

using abi::ServiceState;

namespace {

constexpr uint64_t kLongUp = 10'000'000'000;        // ns: a death after this is a first one again
constexpr uint64_t kMostDeaths = 12;                // in a row, then the service has failed
constexpr uint64_t kFirstPause = 100'000'000;       // ns, doubled each time
constexpr uint64_t kLongestPause = 10'000'000'000;  // ns
constexpr abi::ProcessWords kNoProcess{0, -1, 0, 0, -1, -1};

ServiceState state_of(const abi::ServiceSlot& service) {
  return static_cast<ServiceState>(service.state);
}

BorrowedFd fd_of(int64_t number) {
  return BorrowedFd(static_cast<int>(number));
}

}  // namespace

// ---- ends
// -------------------------------------------------------------------------------------------

void Supervisor::forget_process(luo::Change& change, abi::ProcessWords& words) {
  if (words.notify_fd >= 0) notify_->drop(fd_of(words.notify_fd), words.instance);
  if (words.binary_fd >= 0) parts_->closer.close(fd_of(words.binary_fd));
  change.set(words, kNoProcess);
}

void Supervisor::child_exited(const machine::ChildExit& exit) {
  kill_group(exit.pid, SIGKILL);  // what it left behind in its process group
  ended(exit);
}

void Supervisor::ended(const machine::ChildExit& exit) {
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
    if (state_of(*of_current) != ServiceState::kStopping && !keeps_services()) {
      log_warning("service '{}': pid {} ended: {}", of_current->name, exit.pid, exit.text());
    }
    parts_->core.updates().process_ended(*of_current, exit.pid, exit.text());
    died(*of_current, exit);
  }
}

void Supervisor::died(abi::ServiceSlot& service, const machine::ChildExit& exit) {
  const uint64_t address = parts_->core.services().address_of(service);
  due_.erase(address);
  ending_.erase(address);
  if (parts_->now() - service.current.start_ns >= kLongUp) up_for_long_.insert(address);
  if (state_of(service) == ServiceState::kStopping) {
    {
      luo::Change change(parts_->records());
      forget_process(change, service.current);
      change.commit();
    }
    FAULT_POINT("daemon.ended");
    log_info("service '{}': stopped", service.name);
    parts_->core.remove_service(service);
    observer.service_gone(address);
    stop_next();
    return;
  }
  {
    luo::Change change(parts_->records());
    forget_process(change, service.current);
    change.set(service.exit_status, exit.packed());
    change.commit();
  }
  FAULT_POINT("daemon.ended");
  go_on(service);
  if (keeps_services()) stop_next();
}

// Until the next outlived: which starts it anew, by its configuration or as it was, and offers it
// what it had.
void Supervisor::rest(abi::ServiceSlot& service) {
  const bool configured = spec_of(service).configured;
  luo::Change change(parts_->records());
  parts_->core.services().generation_passed(change, service);
  change.set(service.state,
             static_cast<uint64_t>(configured ? ServiceState::kStopped : ServiceState::kBackoff));
  change.commit();
  log_info("service '{}': stopped, with all it has kept", service.name);
}

// Nobody serves: what follows is the restart policy's.
void Supervisor::go_on(abi::ServiceSlot& service) {
  // An update that goes forward brings the next process itself; one that is being cancelled calls
  // idle() when it is over. After commit it was the next one that died: it is started again.
  const abi::UpdateSlot* update = parts_->core.updates().active(service);
  if (update != nullptr && update->step < static_cast<uint64_t>(abi::UpdateStep::kCommit)) return;
  if (keeps_services()) return rest(service);
  const uint64_t address = parts_->core.services().address_of(service);
  const auto exit = machine::ChildExit::from_packed(0, service.exit_status);
  const ServiceSpec spec = spec_of(service);
  const bool clean = exit.code == CLD_EXITED && exit.status == 0;
  // A first start that fails has failed; one that had served and is being restarted is tried again.
  const bool was_ready = (service.flags & abi::kServiceReady) != 0 || service.recent_deaths != 0;
  const bool long_up = up_for_long_.erase(address) != 0;
  const uint64_t deaths = long_up ? 1 : service.recent_deaths + 1;
  const bool again = was_ready && deaths < kMostDeaths &&
                     (spec.restart == "always" || (spec.restart == "on-failure" && !clean));
  uint64_t pause = 0;
  if (deaths > 3)
    pause = std::min(kLongestPause, kFirstPause << std::min<uint64_t>(deaths - 4, 10));
  {
    luo::Change change(parts_->records());
    change.set(service.recent_deaths, deaths);
    // What it had is offered to the next one; one store.
    parts_->core.services().generation_passed(change, service);
    change.set(service.state, static_cast<uint64_t>(again   ? ServiceState::kBackoff
                                                    : clean ? ServiceState::kStopped
                                                            : ServiceState::kFailed));
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
  } else if (deaths >= kMostDeaths) {
    log_error("service '{}': ended {} times in a row, it is not started again", service.name,
              deaths);
  }
  if (!again) {
    parts_->core.updates().given_up(
        service, fmt::format("committed, and then it ended for good ({})", exit.text()));
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

// True: its process has been asked to end.
bool Supervisor::end_process(abi::ServiceSlot& service) {
  if (state_of(service) == ServiceState::kStopping) return false;  // for good, as it was asked for
  if (abi::UpdateSlot* update = parts_->core.updates().active(service)) {
    const Status cancelled =
        parts_->core.updates().cancel(*update, ECANCELED, "outlived is being stopped");
    static_cast<void>(cancelled);  // after commit: the old one is retiring anyway
  }
  if (service.current.pid != 0) {
    ending_.insert(parts_->core.services().address_of(service));
    terminate(service);
    return true;
  }
  const ServiceState state = state_of(service);
  if (state == ServiceState::kStarting || state == ServiceState::kRunning) rest(service);
  return false;
}

void Supervisor::stop_next() {
  if (!all_stopped_) return;
  while (!stop_queue_.empty()) {
    abi::ServiceSlot* service = parts_->core.services().at(stop_queue_.front());
    stop_queue_.pop_front();
    if (service == nullptr) continue;
    if (!keeps_services()) return stop(*service);
    if (end_process(*service)) return;
  }
  bool any = false;
  parts_->core.services().for_each([&](const abi::ServiceSlot& service) {
    any = any || !keeps_services() || service.current.pid != 0;
  });
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
    if (state_of(*service) == ServiceState::kStopping || ending_.contains(address)) {
      log_warning("service '{}': did not stop in time, it is killed", service->name);
      kill_group(service->current.pid, SIGKILL);
      continue;
    }
    switch (state_of(*service)) {
      case ServiceState::kBackoff:
        launch(*service);
        break;
      case ServiceState::kStarting: {
        const bool says =
            spec_of(*service).notify || device_->has_participant(address, service->generation);
        if (!says) {
          service_ready(*service);
        } else if (parts_->now() - service->current.start_ns < parts_->config.times.ready &&
                   !spec_of(*service).notify) {
          due_[address] = service->current.start_ns + parts_->config.times.ready;
        } else {
          log_error("service '{}': did not say READY in time, it is killed", service->name);
          late_[address] = (parts_->now() - service->current.start_ns) / 1'000'000;
          kill_group(service->current.pid, SIGKILL);
        }
        break;
      }
      default:
        break;
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

std::string Supervisor::why_ended(const abi::ServiceSlot& service) const {
  if (const Error* why = why_not_begun(service)) return why->message;
  const auto late = late_.find(parts_->core.services().address_of(service));
  if (late != late_.end()) {
    return fmt::format(
        "killed, as it was not ready after {} ms (did it say READY=1? "
        "--ready-timeout gives it more)",
        late->second);
  }
  return machine::ChildExit::from_packed(0, service.exit_status).text();
}

const Error* Supervisor::why_not_begun(const abi::ServiceSlot& service) const {
  const auto found = not_begun_.find(parts_->core.services().address_of(service));
  return found != not_begun_.end() ? &found->second : nullptr;
}

uint64_t Supervisor::next_deadline() const {
  uint64_t earliest = UINT64_MAX;
  for (const auto& [address, at] : due_) earliest = std::min(earliest, at);
  for (const auto& [pid, at] : settling_) earliest = std::min(earliest, at);
  return earliest == UINT64_MAX ? 0 : earliest;
}

}  // namespace outlive::daemon
