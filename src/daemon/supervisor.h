// The supervisor: starts the services that outlived was asked to run, watches them, starts them
// again, stops them in order; and does for luo::Updates what has to do with processes.
//
// Happy path:   run -> launch -> (record committed, gate opened) -> ready -> running -> stop
// Unhappy path: a process ends: its sessions turn incoming, the restart policy says what follows;
//               many deaths in a row make the pause longer, too many end it (state failed).
// Threads: one. Nothing here waits: who wants to know is told through the observer.
#pragma once

#include <deque>
#include <map>
#include <set>

#include "daemon/parts.h"
#include "daemon/service_log.h"

namespace outlive::daemon {

class Device;
class NotifySockets;
struct ListenAddress;

class Supervisor final : public luo::UpdateHost {
 public:
  // Told of what people wait for. Addresses of slots.
  struct Observer {
    std::function<void(const abi::ServiceSlot&)> service_changed = [](const auto&) {};
    std::function<void(const abi::UpdateSlot&)> update_progress = [](const auto&) {};
    std::function<void(const abi::UpdateSlot&)> update_over = [](const auto&) {};
    std::function<void(uint64_t service)> service_gone = [](uint64_t) {};
  };

  Supervisor();
  ~Supervisor() override;
  // Before any other call: the core needs its host, the host needs the core.
  void bind(Parts& parts, Device& device);
  // What the records say runs; children that no record names are killed. Then the updates resume.
  void start();
  // Starts one that the configuration names; one that has ended for good, too. Nothing happens when
  // there is one of that name.
  Status start_configured(const ServiceConfig& service);
  // What there is of a service of outlived's own user: nothing, one that has ended for good, one as
  // the configuration had it, one with a specification of an operator's.
  enum class Presence { kNone, kEnded, kConfigured, kOwn };
  Presence presence(std::string_view name);
  // What the configuration says now about a service that was started from it; nullopt: nothing.
  std::optional<ServiceSpec> configured_spec(const abi::ServiceSlot& service) const;

  struct NewService {
    std::string name;
    ServiceSpec spec;
    uint64_t request_id[2] = {0, 0};
  };
  // EEXIST: it runs already. A stopped or failed one of that name is started with the new spec.
  Result<abi::ServiceSlot*> run(const luo::Caller& caller, NewService service);
  // Ends its process and removes the record; sessions go with it.
  void stop(abi::ServiceSlot& service);
  // Stops all, last started first, one at a time; `done` when the last process is gone. Of an end
  // that is kept (abi::EndKind) the records stay, to be started again with what they have.
  void stop_all(std::function<void()> done);
  Result<abi::UpdateSlot*> update(abi::ServiceSlot& service, const ServiceSpec& spec,
                                  const uint64_t (&request_id)[2], bool rollback);

  struct Identity {
    uint64_t service = 0;
    uint64_t generation = 0;
    uint64_t update = 0;
    abi::Role role = abi::Role::kNone;
  };
  // Whose process this is: by pid, or by $OUTLIVE_INSTANCE.
  Identity identify(int64_t pid, uint64_t instance);
  // Is closing all it has because it ends (PF_EXITING)?
  bool is_dying(int64_t pid) const;
  void service_ready(abi::ServiceSlot& service);
  // By READY=1: of the serving or the succeeding process.
  void notify_ready(uint64_t instance);
  void notify_stopping(uint64_t instance);
  // FDSTORE=1: keeps the fd for the next one. Takes it.
  Status store_fd(uint64_t instance, std::string_view name, UniqueFd fd);
  Status remove_stored(uint64_t instance, std::string_view name);

  void child_exited(const machine::ChildExit& exit);
  void tick(uint64_t now_ns);
  uint64_t next_deadline() const;
  ServiceSpec spec_of(const abi::ServiceSlot& service) const { return known_spec(service); }
  // As spec_of(), for what is asked of each of its sessions: good until the next call.
  const ServiceSpec& known_spec(const abi::ServiceSlot& service) const;
  // Why its last process is no more.
  std::string why_ended(const abi::ServiceSlot& service) const;
  // Why it has none: what it needs could not be looked up. nullptr: it is not so.
  const Error* why_not_begun(const abi::ServiceSlot& service) const;
  std::vector<std::string> last_words(const abi::ServiceSlot& service, size_t lines) const;
  ServiceLogs& logs() { return logs_; }
  Observer observer;

  // luo::UpdateHost
  Status start_successor(abi::ServiceSlot& service, abi::UpdateSlot& update) override;
  std::vector<luo::Participant> participants(const abi::ServiceSlot& service,
                                             uint64_t generation) override;
  void send_event(uint64_t connection, abi::Step step, uint64_t update, uint64_t deadline_ns,
                  std::string_view reason) override;
  void kill(const abi::ProcessWords& process) override;
  void retire(const abi::ProcessWords& process) override;
  bool alive(const abi::ProcessWords& process) override;
  void drop_generation(const abi::ServiceSlot& service, uint64_t generation) override;
  void start_anew(abi::ServiceSlot& service) override;
  void progress(const abi::UpdateSlot& update) override { observer.update_progress(update); }
  void over(const abi::UpdateSlot& update) override;
  void idle(abi::ServiceSlot& service) override;

 private:
  // What a launch is for; its callback finds the records again by address.
  void launch(abi::ServiceSlot& service);
  abi::ServiceSlot* starting(uint64_t address, uint64_t instance);
  // Its listeners at paths from this one on, its program, then launch_now().
  void prepare_launch(abi::ServiceSlot& service, const ServiceSpec& spec, size_t from);
  void launch_now(abi::ServiceSlot& service, Result<UniqueFd> program);
  void could_not_start(abi::ServiceSlot& service, const Error& error);
  static machine::Opener::Request program_request(const abi::ServiceSlot& service,
                                                  const ServiceSpec& spec);
  static bool is_out_of_reach(const Result<UniqueFd>& program);
  // Closes the log that was opened for it when the launch is done, before the callback.
  void submit(machine::LaunchSpec launch, machine::LaunchQueue::Callback callback);
  void await_start(const abi::ServiceSlot& service);
  void launched(uint64_t service, const abi::ProcessWords& process,
                const Result<machine::Launched>& result);
  Result<machine::LaunchSpec> launch_spec(const abi::ServiceSlot& service, const ServiceSpec& spec,
                                          abi::ProcessWords& process);
  Status launch_successor(abi::ServiceSlot& service, abi::UpdateSlot& update,
                          abi::ProcessWords process, Result<UniqueFd> program);
  Status add_listen_fds(const abi::ServiceSlot& service, const ServiceSpec& spec,
                        machine::LaunchSpec& into);
  // But those at paths.
  Status open_listeners(abi::ServiceSlot& service, const ServiceSpec& spec);
  Result<luo::Session*> listen_session(abi::ServiceSlot& service, const ListenAddress& address);
  Status keep_listener(abi::ServiceSlot& service, const ListenAddress& address, size_t index,
                       UniqueFd listener);
  std::optional<size_t> next_path(abi::ServiceSlot& service, const ServiceSpec& spec, size_t from);
  void listen_at_path(abi::ServiceSlot& service, const ServiceSpec& spec, size_t index);
  void cannot_listen(abi::ServiceSlot& service, const ServiceSpec& spec, size_t index,
                     const Error& error);
  Result<luo::Session*> internal_session(abi::ServiceSlot& service, std::string_view name);
  Status room_for(uint64_t uid, const abi::ServiceSlot* known, uint64_t spec_size);
  std::string internal_name(const abi::ServiceSlot& service, std::string_view name) const;
  // What follows from an exit; the process and its group are gone.
  void ended(const machine::ChildExit& exit);
  // After a start from the service manager's fd store (new_table.h): processes that records name
  // and no keeper knows are taken on; those that don't run any more are returned.
  std::vector<int64_t> take_on_processes();
  Status take_on_process(abi::ProcessWords& words, uint64_t uid);
  void died(abi::ServiceSlot& service, const machine::ChildExit& exit);
  void go_on(abi::ServiceSlot& service);
  void set_state(abi::ServiceSlot& service, abi::ServiceState state);
  void terminate(abi::ServiceSlot& service);
  void forget_process(luo::Change& change, abi::ProcessWords& words);
  void stop_next();
  // Their processes end because outlived does, and a next one may start them again.
  bool keeps_services() const { return parts_->control.end_kind() == abi::EndKind::kKept; }
  bool end_process(abi::ServiceSlot& service);
  void rest(abi::ServiceSlot& service);
  void kill_group(int64_t pid, int signal);
  uint64_t new_instance() const;
  abi::ServiceSlot* by_instance(uint64_t instance, bool* successor, abi::UpdateSlot** update);

  Parts* parts_ = nullptr;
  Device* device_ = nullptr;
  std::unique_ptr<NotifySockets> notify_;
  ServiceLogs logs_;
  std::map<uint64_t, uint64_t> due_;   // service address: when to start it, settle it or kill it
  std::map<uint64_t, uint64_t> late_;  // killed: not ready within so many ms
  std::map<uint64_t, Error> not_begun_;
  struct Parsed {
    std::string text;
    ServiceSpec spec;
  };
  mutable std::map<uint64_t, Parsed> specs_;  // by service address; true while the text is the same
  std::set<uint64_t> fresh_;                  // services that have never had a process
  std::set<uint64_t> up_for_long_;            // services whose last process was
  std::deque<uint64_t> stop_queue_;
  std::function<void()> all_stopped_;
  std::set<uint64_t> ending_;             // addresses: of an end that is kept, told to end by due_
  std::map<int64_t, uint64_t> settling_;  // pids of successors that say nothing: ready at this time
};

}  // namespace outlive::daemon
