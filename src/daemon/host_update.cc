#include "daemon/host_update.h"

#include "base/log.h"
#include "daemon/self_update.h"

namespace outlive::daemon {

using abi::TakeoverResult;
using machine::Takeover;
using wire::Json;

namespace {

constexpr size_t kAttempts = 3;  // to replace outlived, once the services have committed

TakeoverResult result_of(const abi::TakeoverOutcome& outcome) {
  return static_cast<TakeoverResult>(outcome.result);
}

const char* text_of(TakeoverResult result) {
  switch (result) {
    case TakeoverResult::kUpdated:
      return "updated";
    case TakeoverResult::kRolledBack:
      return "rolled back";
    case TakeoverResult::kRefused:
    case TakeoverResult::kRehearsed:
      break;
  }
  return "refused";
}

}  // namespace

Status HostUpdate::advance(const Options& options) {
  SelfUpdate& self = *parts_.self_update;
  if (self.is_current(options.request)) {
    rehearsing_ = options;  // also of a worker before
    return {};
  }
  const auto outcome = self.outcome_of(options.request);
  const bool rehearsed = outcome && result_of(*outcome) == TakeoverResult::kRehearsed;
  if (rehearsed && self.holds_binary_of(*outcome)) return begin_services(options);
  if (const Error* failed = self.failure_of(options.request)) return *failed;
  if (outcome && !rehearsed) {
    return fail(outcome->error != 0 ? static_cast<int>(outcome->error) : EIO, "outlived: {}",
                Takeover::text_of(outcome->reason));
  }
  TRY(parts_.core.updates().can_begin_host());
  if (options.keep_outlived) return begin_services(options);
  if (under_way()) return fail(EBUSY, "an update of the host is going on");
  TRY(self.rehearse(options.request, options.binary, options.force));
  rehearsing_ = options;
  return {};
}

Status HostUpdate::begin_services(const Options& options) {
  rehearsing_.reset();
  luo::Updates::HostOptions host;
  host.request_id[0] = options.request.words[0];
  host.request_id[1] = options.request.words[1];
  host.outlived = !options.keep_outlived;
  if (const auto outcome = parts_.self_update->outcome_of(options.request)) {
    host.rehearsal_begun_ns = parts_.self_update->takeover().block().asked_ns;
    host.rehearsal_ended_ns = host.rehearsal_begun_ns + outcome->total_ns;
  }
  TRY(parts_.core.updates().begin_host(host));
  return {};
}

bool HostUpdate::under_way() const {
  return rehearsing_ || parts_.core.updates().outlived_in_host() != luo::Updates::Outlived::kStays;
}

void HostUpdate::turn() {
  SelfUpdate& self = *parts_.self_update;
  if (rehearsing_ && !self.is_current(rehearsing_->request)) {
    const Options options = *std::exchange(rehearsing_, std::nullopt);
    const auto outcome = self.outcome_of(options.request);
    if (outcome && result_of(*outcome) == TakeoverResult::kRehearsed) {
      const Status begun = begin_services(options);
      // Whoever waits asks again, and hears it.
      if (!begun) log_warning("update of the host refused: {}", begun.error().message);
    }
  }
  if (parts_.core.updates().outlived_in_host() == luo::Updates::Outlived::kAwaited) {
    replace_outlived();
  }
  self.keep_binary(under_way());
}

void HostUpdate::replace_outlived() {
  SelfUpdate& self = *parts_.self_update;
  luo::Updates& updates = parts_.core.updates();
  const auto id = updates.awaiting_request();
  if (!id) return;
  const wire::RequestId request{{(*id)[0], (*id)[1]}};
  if (self.has_committed(request)) return updates.outlived_replaced("");
  if (self.busy()) return;
  const auto outcome = self.outcome_of(request);
  if (outcome && result_of(*outcome) == TakeoverResult::kUpdated) {
    return updates.outlived_replaced("");
  }
  // One of outlived's processes was killed meanwhile: not the fault of the file.
  const bool again = outcome && result_of(*outcome) == TakeoverResult::kRefused &&
                     outcome->error == EAGAIN &&
                     self.takeover().outcomes_of(request.words) <= kAttempts;
  if (outcome && result_of(*outcome) != TakeoverResult::kRehearsed && !again) {
    return updates.outlived_replaced(Takeover::text_of(outcome->reason));
  }
  const Status begun = self.begin_rehearsed(request);
  if (begun || begun.error().code == EBUSY) return;
  log_warning("update of the host: outlived stays: {}", begun.error().message);
  updates.outlived_replaced(begun.error().message);
}

Json HostUpdate::outlived(const wire::RequestId& request,
                          const std::vector<const abi::UpdateSlot*>& updates) const {
  const SelfUpdate& self = *parts_.self_update;
  Json told{{"result", "running"},     {"step", nullptr},       {"reason", nullptr},
            {"from_version", nullptr}, {"to_version", nullptr}, {"pause_us", nullptr}};
  if (self.is_current(request)) {
    told["step"] = self.step();
    return told;
  }
  bool wanted = updates.empty();  // the rehearsal is just over
  bool cancelled = false;
  std::string why;
  for (const abi::UpdateSlot* update : updates) {
    const bool over = update->step == static_cast<uint64_t>(abi::UpdateStep::kCancelled);
    cancelled = cancelled || over;
    wanted = wanted || (!over && (update->flags & abi::kUpdateOutlived) != 0);
    if (why.empty()) why = update->reason;
  }
  if (wanted) {
    told["step"] = "waiting";
    return told;
  }
  const auto outcome = self.outcome_of(request);
  if (outcome && result_of(*outcome) != TakeoverResult::kRehearsed) {
    told["result"] = text_of(result_of(*outcome));
    told["from_version"] = Takeover::text_of(outcome->from);
    if (outcome->to[0] != 0) told["to_version"] = Takeover::text_of(outcome->to);
    if (outcome->pause_ns != 0) told["pause_us"] = outcome->pause_ns / 1000;
    if (result_of(*outcome) != TakeoverResult::kUpdated) {
      told["reason"] = Takeover::text_of(outcome->reason);
    }
    return told;
  }
  told["result"] = !outcome || cancelled ? "kept" : "refused";
  if (outcome && !cancelled) told["reason"] = why;
  return told;
}

}  // namespace outlive::daemon
