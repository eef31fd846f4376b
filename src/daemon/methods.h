// The methods of org.outlive.Orchestrator: from a call's parameters to an answer, or to what the
// answer waits for.
//
//   methods.cc           dispatch, status, stop
//   methods_service.cc   Run, Update, Rollback
//   methods_self_update.cc  UpdateOutlived, FinalizeFormat
//   methods_list.cc      sessions, files, services, updates, regions, timeline, log
//   methods_plan.cc      Plan
//   methods_session.cc   EndSession
//   methods_host.cc      Reboot
//   methods_kexec.cc     Kexec
//   methods_operate.cc   Reload, Metrics
//   methods_debug.cc     KhoDump, KhoSave (only with OUTLIVE_KHO_DEBUG)
//   methods_fsck.cc      Fsck
#pragma once

#include <optional>

#include "daemon/parts.h"
#include "daemon/supervisor.h"
#include "wire/varlink.h"

namespace outlive::daemon {

// So long a part of a list may look at files: a turn of the loop, that everybody waits for.
constexpr uint64_t kPartNs = 1'000'000;

class Device;
class SelfUpdateTimeline;

struct Answer {
  std::string text;  // a finished message
  bool last = true;
};

// What a call waits for; addresses of slots.
struct Waiting {
  enum class For {
    kNothing,
    kRun,
    kUpdate,
    kSelfUpdate,
    kStop,
    kStopAll,
    kKexec
  } what = For::kNothing;
  BorrowedFd connection;  // the caller's
  uint64_t service = 0;
  uint64_t update = 0;
  uint64_t since_ns = 0;
  ServiceSpec spec;  // kUpdate: to begin when the one before is over
  wire::RequestId request;
  bool rollback = false;
  bool begun = false;
  Error failed{0, {}};  // kUpdate: it could not begin
};

class Methods {
 public:
  Methods(Parts& parts, Supervisor& supervisor, Device& device)
      : parts_(parts), supervisor_(supervisor), device_(device) {}
  // An answer, or nullopt: `waiting` says for what.
  std::optional<Answer> handle(const luo::Caller& caller, const wire::VarlinkCall& call,
                               Waiting& waiting);
  // News for somebody who waits. nullopt: nothing to say.
  std::optional<Answer> run_news(const Waiting& waiting, const abi::ServiceSlot& service);
  std::optional<Answer> update_lost(const abi::ServiceSlot& service);
  std::optional<Answer> update_news(const Waiting& waiting, const abi::UpdateSlot& update,
                                    bool over);
  std::optional<Answer> self_update_news(const Waiting& waiting);
  std::optional<Answer> kexec_news(const Waiting& waiting);
  // The service has become free: begins the update that waits for that.
  std::optional<Answer> begin_update(Waiting& waiting);

 private:
  using Json = wire::Json;
  using Method = Result<std::optional<Json>> (Methods::*)(const luo::Caller&, const Json&,
                                                          Waiting&);
  static Method find(std::string_view name);

  Result<std::optional<Json>> status(const luo::Caller&, const Json&, Waiting&);
  Result<std::optional<Json>> stop(const luo::Caller&, const Json&, Waiting&);
  Result<std::optional<Json>> run(const luo::Caller&, const Json&, Waiting&);
  Result<std::optional<Json>> update(const luo::Caller&, const Json&, Waiting&);
  Result<std::optional<Json>> rollback(const luo::Caller&, const Json&, Waiting&);
  Result<std::optional<Json>> finalize_format(const luo::Caller&, const Json&, Waiting&);
  Result<std::optional<Json>> update_outlived(const luo::Caller&, const Json&, Waiting&);
  Result<std::optional<Json>> plan(const luo::Caller&, const Json&, Waiting&);
  Result<std::optional<Json>> list_sessions(const luo::Caller&, const Json&, Waiting&);
  Result<std::optional<Json>> list_files(const luo::Caller&, const Json&, Waiting&);
  Result<std::optional<Json>> list_services(const luo::Caller&, const Json&, Waiting&);
  Result<std::optional<Json>> list_regions(const luo::Caller&, const Json&, Waiting&);
  Result<std::optional<Json>> list_updates(const luo::Caller&, const Json&, Waiting&);
  Result<std::optional<Json>> reboot(const luo::Caller&, const Json&, Waiting&);
  Result<std::optional<Json>> kexec(const luo::Caller&, const Json&, Waiting&);
  Result<Json> kexec_told(const std::vector<abi::UpdateSlot*>& list, bool frozen, bool copied);
  Result<std::optional<Json>> end_session(const luo::Caller&, const Json&, Waiting&);
  Result<std::optional<Json>> timeline(const luo::Caller&, const Json&, Waiting&);
  Result<std::optional<Json>> log(const luo::Caller&, const Json&, Waiting&);
  Result<std::optional<Json>> kho_dump(const luo::Caller&, const Json&, Waiting&);
  Result<std::optional<Json>> kho_save(const luo::Caller&, const Json&, Waiting&);
  Result<std::optional<Json>> reload(const luo::Caller&, const Json&, Waiting&);
  Result<std::optional<Json>> metrics(const luo::Caller&, const Json&, Waiting&);
  Result<std::optional<Json>> fsck(const luo::Caller&, const Json&, Waiting&);

  Result<std::optional<Json>> start_update(const luo::Caller& caller, const Json& parameters,
                                           Waiting& waiting, bool rollback);
  Result<abi::ServiceSlot*> service_named(const luo::Caller& caller, std::string_view name);
  Json update_result(const abi::UpdateSlot& update);
  Json update_step(const abi::UpdateSlot& update, uint64_t since_ns);
  Json run_reply(const abi::ServiceSlot& service, const Waiting& waiting);
  // Of services that the caller sees, the newest first.
  std::vector<const abi::UpdateSlot*> updates_of(const luo::Caller& caller);
  Json update_summary(const abi::UpdateSlot& update);
  Json update_timeline(const abi::UpdateSlot& update);
  std::optional<uint64_t> newest_self_update(const SelfUpdateTimeline& self,
                                             const abi::UpdateSlot* update);

  Parts& parts_;
  Supervisor& supervisor_;
  Device& device_;
  UniqueFd saved_;  // KhoSave's and Kexec's copy
};

// RFC 3339 in UTC, of CLOCK_REALTIME nanoseconds.
std::string time_text(uint64_t realtime_ns);
const char* name_of(abi::ServiceState state);
const char* name_of(abi::SurvivalClass survival);
// "updated", "rolled back", "running", "finish failed".
const char* result_of(const abi::UpdateSlot& update);
// The new version serves, and there is no way back.
bool is_committed(const abi::UpdateSlot& update);

}  // namespace outlive::daemon
