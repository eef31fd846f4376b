// An update of scope `service`: replaces one service by its next version. update.cc reads as the
// list of its steps (update_news.cc: what it hears, a new worker, questions; host_update.cc: of
// scope `host`, the barrier of all services):
//
//   plan -> start -> prepare -> freeze -> offer -> commit -> finish -> retire -> done
//                 \______ any failure: cancel ______/
//
// Happy path:   begin(); then whoever has news calls ready(), process_ended(), sessions_changed();
//               each of them may take the update a step further. Nothing ever waits in here.
// Unhappy path: veto(), a death, a deadline (tick) before commit: the successor is killed; when it
//               is really gone the handlers unfreeze and the old one gets `cancel` and serves
//               again.
// A death of the worker: load() cancels what had not committed and begins it anew (at most
//               UpdateTimes::attempts times), and carries on what had.
// Locks: none, one thread.
#pragma once

#include <array>
#include <map>
#include <optional>
#include <set>

#include "abi/wire.h"
#include "luo/file_set.h"
#include "luo/service.h"
#include "luo/state.h"
#include "luo/timeline.h"

namespace outlive::luo {

struct UpdateTimes {                  // ns
  uint64_t ready = 30'000'000'000;    // successor: start to ready-to-adopt
  uint64_t prepare = 10'000'000'000;  // old one
  uint64_t freeze = 2'000'000'000;    // old one
  uint64_t adopt = 5'000'000'000;     // successor, inside the blackout
  uint64_t finish = 300'000'000'000;  // successor: committed to finish; then it is reported
  uint64_t retire = 10'000'000'000;   // old one, until it is killed
  uint64_t kexec = 30'000'000'000;    // frozen, until the kernel is another
  uint64_t attempts = 3;              // after deaths of the worker
};

struct Participant {
  uint64_t connection;    // ConnectionSlot address
  uint64_t versions;      // state_version << 32 | oldest_state_version
  bool previews = false;  // a successor that looks ahead
};

// What an update needs from outside. The daemon implements it, tests fake it.
class UpdateHost {
 public:
  virtual ~UpdateHost() = default;
  // Launches; later calls Updates::successor_started or process_ended.
  virtual Status start_successor(abi::ServiceSlot& service, abi::UpdateSlot& update) = 0;
  virtual std::vector<Participant> participants(const abi::ServiceSlot& service,
                                                uint64_t generation) = 0;
  virtual void send_event(uint64_t connection, abi::Step step, uint64_t update,
                          uint64_t deadline_ns, std::string_view reason) = 0;
  // SIGKILL; process_ended comes later.
  virtual void kill(const abi::ProcessWords& process) = 0;
  // Asks it to leave (SIGTERM to one that takes no events).
  virtual void retire(const abi::ProcessWords& process) = 0;
  virtual bool alive(const abi::ProcessWords& process) = 0;
  // The connections of this generation are of no use any more (a cancelled successor's).
  virtual void drop_generation(const abi::ServiceSlot& service, uint64_t generation) = 0;
  // Of scope host, when the old one is gone: starts the service from its record.
  virtual void start_anew(abi::ServiceSlot& service) = 0;
  virtual void progress(const abi::UpdateSlot& update) = 0;  // a step was taken
  virtual void over(const abi::UpdateSlot& update) = 0;      // finished or cancelled: the result
  virtual void idle(abi::ServiceSlot& service) = 0;          // the next one may begin
};

class Updates {
 public:
  Updates(Context& context, Sessions& sessions, Files& files, Services& services, UpdateHost& host)
      : context_(context), sessions_(sessions), files_(files), services_(services), host_(host) {}
  Status load();
  void resume();  // after load(), when the host can act

  struct Options {
    std::string spec;  // launch specification of the successor
    uint64_t request_id[2] = {0, 0};
    uint64_t flags = 0;     // of the record
    uint64_t ready_ns = 0;  // time-outs of its own, 0: `times`
    uint64_t freeze_ns = 0;
  };
  // EBUSY: one is active; ENOSPC; EDQUOT; the plan's refusal. Returns the record.
  Result<abi::UpdateSlot*> begin(abi::ServiceSlot& service, const Options& options);

  struct HostOptions {
    uint64_t request_id[2] = {0, 0};
    Scope scope = Scope::kHost;  // or kKernel
    // outlived is to be replaced as well: after commit nobody is started anew before
    // outlived_replaced().
    bool outlived = false;
    uint64_t rehearsal_begun_ns = 0;  // of its next version, for the timelines; 0: none
    uint64_t rehearsal_ended_ns = 0;
  };
  // Of scope host or kernel: one record for each service that runs, all with this request id.
  // EBUSY: one of them is being updated, started or stopped; EINVAL: none runs (host only); E2BIG:
  // more than one commit takes; ENOSPC. Of scope kernel it stays at offer, frozen, until it is
  // cancelled or the kernel is another.
  Result<std::vector<abi::UpdateSlot*>> begin_host(const HostOptions& options);
  // In the records that came through a kexec: commits what was frozen for it. The services are
  // started by resume().
  void kexec_arrived();
  // Whether begin_host() of scope host would begin: the same errors.
  Status can_begin_host();
  // Of scope host and not over: what the services wait for, or will.
  enum class Outlived { kStays, kToBeReplaced, kAwaited };
  Outlived outlived_in_host();
  bool awaits_outlived(const abi::ServiceSlot& service);
  // The id of those that wait for it.
  std::optional<std::array<uint64_t, 2>> awaiting_request();
  // It was, or could not be (`why_not`): the services are started anew.
  void outlived_replaced(std::string_view why_not);
  // undefined never; normal: no update of scope host, or all of them are finished.
  State host_state();
  // This one was cancelled because of another service: an answer to it crosses the `cancel` that is
  // on its way, and is no error.
  bool cancelled_for_all(const abi::ServiceSlot& service, uint64_t update);
  // Committed, and nobody of it runs until the update starts the next one.
  bool restarts(const abi::ServiceSlot& service);

  // News.
  void successor_started(abi::UpdateSlot& update, const abi::ProcessWords& process);
  void start_failed(abi::UpdateSlot& update, const Error& error);
  // Whether ready() with these would be taken. EINVAL: nobody waits for that; EBUSY: not yet.
  Status expects(const abi::ServiceSlot& service, uint64_t connection, uint64_t generation,
                 abi::Step step, uint64_t update);
  // READY; may take the update several steps further.
  Status ready(const abi::ServiceSlot& service, uint64_t connection, uint64_t generation,
               abi::Step step, uint64_t update);
  Status veto(const abi::ServiceSlot& service, uint64_t connection, uint64_t generation,
              abi::Step step, uint64_t update, std::string_view reason);
  // True when the update took care of it: the supervisor does nothing then.
  bool process_ended(abi::ServiceSlot& service, int64_t pid, std::string_view how);
  // A session of the service was finished or adopted: the update may be over.
  void sessions_changed(abi::ServiceSlot& service);
  void connection_closed(uint64_t connection);
  // After commit the service is down for good: nobody will say finish. The update ends with this
  // reason, its old one leaves; what was preserved stays offered to whoever is started next.
  void given_up(abi::ServiceSlot& service, std::string_view reason);
  // Its record is about to go: an update that is past commit ends with it, and the old one too.
  void service_removed(const abi::ServiceSlot& service);
  void tick(uint64_t now_ns);
  uint64_t next_deadline() const;  // 0: none
  // Why the finish of its last update failed: the service stays in `updated`, and takes no further
  // one, until the next worker finds that it can be finished, or the service is removed.
  std::optional<std::string> finish_failure(const abi::ServiceSlot& service);
  bool any_finish_failed() const;
  // An operator's wish, or the end of outlived. EINVAL after commit.
  Status cancel(abi::UpdateSlot& update, int code, std::string_view reason);

  // The update of a service that is not over, or nullptr.
  abi::UpdateSlot* active(const abi::ServiceSlot& service);
  abi::UpdateSlot* find(uint64_t id);
  abi::UpdateSlot* find_request(const uint64_t (&request_id)[2]);
  std::vector<abi::UpdateSlot*> all_of_request(const uint64_t (&request_id)[2]);
  abi::UpdateSlot* at(uint64_t address) { return context_.records->find<abi::UpdateSlot>(address); }
  State state(const abi::ServiceSlot& service);
  // Whether this generation may retrieve now: the offer is made, or it serves.
  enum class Access { kCurrent, kNotOffered, kOffered, kStale };
  Access access(const abi::ServiceSlot& service, uint64_t generation);
  // The old one has answered freeze (or the offer is made): its sessions take no more changes.
  bool frozen_for(const abi::ServiceSlot& service, uint64_t connection);
  // Whom the active update waits for, for people; "" when nobody.
  std::string waiting_for(const abi::UpdateSlot& update);
  Timeline timeline(const abi::UpdateSlot& update) {
    const bool crosses = update.scope == static_cast<uint64_t>(Scope::kKernel);
    return Timeline(context_.records->arena(), update.timeline,
                    crosses ? context_.clock->steady_ns() - now() : 0);
  }
  UpdateTimes times;

 private:
  struct Active {
    abi::UpdateSlot* slot = nullptr;
    abi::ServiceSlot* service = nullptr;
    std::set<uint64_t> waiting = {};  // connections whose answer is missing
    std::vector<Participant> old_side = {};
    uint64_t deadline_ns = 0;
    uint64_t freeze_ns = 0;
    bool successor_ready = false;  // it said so before outlived asked for anything
    bool previewing = false;       // in prepare: the old one has answered, the successor looks
    bool cancelling = false;       // the successor is being killed
    bool again = false;            // and then the update begins anew
    int code = 0;
    std::string reason = {};
    Timeline timeline;
  };
  Status may_begin(const abi::ServiceSlot& service);
  Status plan(abi::ServiceSlot& service);
  void start(Active& update);
  void prepare(Active& update);
  void preview(Active& update);
  void freeze(Active& update);
  void offer(Active& update);
  void commit(Active& update);
  void finish(Active& update);
  void finish_failed(Active& update, const Error& why);
  void forget_finish_failure(Active& update);
  void retire(Active& update);
  void done(Active& update);
  void begin_cancel(Active& update, int code, std::string reason);
  void end_cancel(Active& update);

  // host_update.cc
  static bool of_host(const Active& update);
  static bool is_of_host(const abi::UpdateSlot& update);
  static bool awaits_outlived(const Active& update);
  Result<std::vector<abi::ServiceSlot*>> plan_host(Scope scope);
  std::vector<Session*> plain_sessions();
  std::vector<abi::ServiceSlot*> host_members(bool before_commit);
  bool host_all_at(abi::UpdateStep step);
  void host_prepared();
  void host_frozen();
  std::vector<abi::ServiceSlot*> host_switch();
  void host_commit();
  void carry_on_host_commit();
  void turn_plain_sessions();
  void host_committed(Active& update);
  void host_retire(Active& update);
  void host_start_anew(Active& update);
  void cancel_host(const Active& first, int code, const std::string& reason);

  void enter(Active& update, abi::UpdateStep step, uint64_t timeout_ns);
  void answered(Active& update, uint64_t connection);
  void switch_state(Active& update, Event event, Change& change);
  void ask(Active& update, abi::Step step);
  Status check_versions(const Active& update, uint64_t connection) const;
  std::vector<Session*> sessions_of(const abi::ServiceSlot& service);
  bool any_incoming(const abi::ServiceSlot& service);
  Active* active_of(const abi::ServiceSlot& service);
  Status make_room(const abi::ServiceSlot& service, uint64_t spec_size);
  std::vector<abi::UpdateSlot*> kept_of(const abi::ServiceSlot& service);
  bool forget_oldest(const abi::ServiceSlot& service, uint64_t most);
  uint64_t now() const { return context_.clock->now_ns(); }

  Context& context_;
  Sessions& sessions_;
  Files& files_;
  Services& services_;
  UpdateHost& host_;
  std::map<uint64_t, Active> active_;  // by ServiceSlot address
};

inline bool finish_failed(const abi::UpdateSlot& update) {
  return (update.flags & abi::kUpdateFinishFailed) != 0;
}
const char* name_of(abi::UpdateStep step);
const char* name_of(abi::Step step);

}  // namespace outlive::luo
