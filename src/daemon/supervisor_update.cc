// What an update needs of the supervisor: processes and events (luo::UpdateHost).
#include <signal.h>

#include "base/log.h"
#include "base/sys.h"
#include "daemon/device.h"
#include "daemon/supervisor.h"
#include "daemon/totals.h"

namespace outlive::daemon {

namespace {
constexpr uint64_t kSettle =
    300'000'000;  // ns: a successor that says nothing is ready when it lives
}

Result<abi::UpdateSlot*> Supervisor::update(abi::ServiceSlot& service, const ServiceSpec& spec,
                                            const uint64_t (&request_id)[2], bool rollback) {
  if (!parts_->config.liveupdate_enabled) {
    return fail(EOPNOTSUPP, "live updates are off ([liveupdate] enabled = false)");
  }
  TRY(check_spec(spec));
  luo::Updates::Options options;
  options.spec = spec_text(spec);
  options.request_id[0] = request_id[0];
  options.request_id[1] = request_id[1];
  options.flags = rollback ? abi::kUpdateRollback : 0;
  options.ready_ns = spec.ready_timeout_ms * 1'000'000;
  options.freeze_ns = spec.freeze_timeout_ms * 1'000'000;
  return parts_->core.updates().begin(service, options);
}

Status Supervisor::start_successor(abi::ServiceSlot& service, abi::UpdateSlot& update) {
  const ServiceSpec spec =
      TRY(parse_spec(parts_->core.services().read_blob(update.spec, update.spec_size)));
  abi::ProcessWords process{0, -1, 0, 0, -1, -1};
  process.instance = new_instance();
  if ((update.flags & abi::kUpdateRollback) != 0 && service.previous_binary_fd >= 0) {
    UniqueFd copy =
        TRY(sys::dup_cloexec(BorrowedFd(static_cast<int>(service.previous_binary_fd)), 3));
    TRY(sys::set_cloexec(copy, false));
    return launch_successor(service, update, process, std::move(copy));
  }
  parts_->core.updates().successor_started(update, process);
  const uint64_t address = parts_->records().address_of(&update);
  parts_->opener.open(
      program_request(service, spec), [this, address, process](Result<UniqueFd> program) {
        abi::UpdateSlot* slot = parts_->core.updates().at(address);
        const bool wanted = slot != nullptr && slot->successor.instance == process.instance;
        if (!wanted) return parts_->opener.drop(std::move(program));
        abi::ServiceSlot* owner = parts_->core.services().at(slot->service);
        Status started = is_out_of_reach(program)
                             ? Status(program.error())
                             : launch_successor(*owner, *slot, process, std::move(program));
        if (!started) parts_->core.updates().start_failed(*slot, started.error());
      });
  return {};
}

Status Supervisor::launch_successor(abi::ServiceSlot& service, abi::UpdateSlot& update,
                                    abi::ProcessWords process, Result<UniqueFd> program) {
  const ServiceSpec spec =
      TRY(parse_spec(parts_->core.services().read_blob(update.spec, update.spec_size)));
  Result<machine::LaunchSpec> prepared = launch_spec(service, spec, process);
  if (!prepared) {
    parts_->opener.drop(std::move(program));
    return prepared.error();
  }
  machine::LaunchSpec launch = std::move(*prepared);
  if (program) process.binary_fd = program->release();
  // What is rolled back to may have another name by now.
  const bool rollback = (update.flags & abi::kUpdateRollback) != 0;
  if (rollback && service.previous_binary_fd >= 0 && process.binary_fd >= 0) {
    launch.program_fd = BorrowedFd(static_cast<int>(process.binary_fd));
  }
  parts_->core.updates().successor_started(update, process);
  const uint64_t address = parts_->records().address_of(&update);
  submit(std::move(launch), [this, address, process](Result<machine::Launched> result) {
    abi::UpdateSlot* slot = parts_->core.updates().at(address);
    const bool wanted = slot != nullptr && slot->successor.instance == process.instance;
    if (!result) {
      if (wanted) parts_->core.updates().start_failed(*slot, result.error());
      return;
    }
    if (!wanted) {
      const Status gone = machine::signal_child(parts_->control, result->pid, SIGKILL);
      static_cast<void>(gone);
      return;
    }
    abi::ProcessWords started = process;
    started.pid = result->pid;
    started.pidfd = result->pidfd.get();
    started.start_ns = parts_->now();
    parts_->core.updates().successor_started(*slot, started);
    if (const Status opened = machine::open_gate(parts_->control, result->pid); !opened) {
      log_warning("successor: {}", opened.error().message);
    }
    settling_[result->pid] = parts_->now() + kSettle;
    const auto* owner = parts_->core.services().at(slot->service);
    if (owner != nullptr && spec_of(*owner).notify) settling_.erase(result->pid);
  });
  return {};
}

void Supervisor::start_anew(abi::ServiceSlot& service) {
  // The commit has let go of sessions of no service, too: their leases begin.
  parts_->core.leases().load();
  {
    // No first start: one that fails is tried again, as after a death.
    luo::Change change(parts_->records());
    change.set(service.recent_deaths, uint64_t{1});
    change.commit();
  }
  launch(service);
}

std::vector<luo::Participant> Supervisor::participants(const abi::ServiceSlot& service,
                                                       uint64_t generation) {
  return device_->participants(parts_->core.services().address_of(service), generation);
}

void Supervisor::send_event(uint64_t connection, abi::Step step, uint64_t update,
                            uint64_t deadline_ns, std::string_view reason) {
  device_->send_event(connection, step, update, deadline_ns, reason);
}

void Supervisor::kill(const abi::ProcessWords& process) {
  const Status sent =
      machine::signal_child(parts_->control, static_cast<pid_t>(process.pid), SIGKILL);
  static_cast<void>(sent);  // ESRCH: its exit is on the way
}

void Supervisor::retire(const abi::ProcessWords& process) {
  // A participant was told by its event; every other one by the signal that all know.
  const Identity who = identify(process.pid, process.instance);
  if (device_->has_participant(who.service, who.generation)) return;
  const Status sent =
      machine::signal_child(parts_->control, static_cast<pid_t>(process.pid), SIGTERM);
  static_cast<void>(sent);
}

bool Supervisor::alive(const abi::ProcessWords& process) {
  return process.pid != 0 && parts_->control.child(static_cast<pid_t>(process.pid)).has_value();
}

void Supervisor::drop_generation(const abi::ServiceSlot& service, uint64_t generation) {
  device_->drop_generation(parts_->core.services().address_of(service), generation);
}

void Supervisor::over(const abi::UpdateSlot& update) {
  count_update(parts_->control.operators().totals, update);
  observer.update_over(update);
}

void Supervisor::idle(abi::ServiceSlot& service) {
  // It may have died while a cancel waited for the successor's end: then nobody serves.
  const auto state = static_cast<abi::ServiceState>(service.state);
  if (state == abi::ServiceState::kRunning && service.current.pid == 0) {
    go_on(service);
    return;
  }
  observer.service_changed(service);
}

}  // namespace outlive::daemon
