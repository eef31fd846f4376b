// Kexec: the barrier over all services before the kernel is replaced, and the arena as it is then.
// The rest is done by who calls this (cli/kexec.cc): the worker may neither load a kernel nor
// reboot, and PRESERVE_FD would keep it from serving.
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>

#include "base/clock.h"
#include "base/sys.h"
#include "daemon/device.h"
#include "daemon/hand_over.h"
#include "daemon/host_update.h"
#include "daemon/methods.h"
#include "daemon/reboot_hold.h"
#include "kho/image_copy.h"

namespace outlive::daemon {

using wire::Json;

namespace {
// Beyond it the update is cancelled by the deadline of its step: whoever asked is gone.
constexpr uint64_t kPauseNs = 30'000'000'000;

bool is_at(const abi::UpdateSlot* update, abi::UpdateStep step) {
  return update->step == static_cast<uint64_t>(step);
}

bool all_frozen(const std::vector<abi::UpdateSlot*>& list) {
  return std::ranges::all_of(
      list, [](const auto* update) { return is_at(update, abi::UpdateStep::kOffer); });
}

// Somebody is still to answer.
bool goes_on(const std::vector<abi::UpdateSlot*>& list) {
  return !all_frozen(list) && std::ranges::none_of(list, [](const auto* update) {
    return is_at(update, abi::UpdateStep::kCancelled);
  });
}
}  // namespace

Result<std::optional<Json>> Methods::kexec(const luo::Caller& caller, const Json& parameters,
                                           Waiting& waiting) {
  TRY(wire::only_params(parameters, {"request_id", "action"}));
  const wire::RequestId request = TRY(wire::request_id_param(parameters));
  const auto action = TRY(wire::param<std::string>(parameters, "action"));
  if (caller.uid != 0) return fail(EPERM, "only root may replace the kernel");
  const uint64_t device = machine::load_word(parts_.control.block().liveupdate_fd);
  if (device == 0) {
    return fail(EOPNOTSUPP, "this outlived has no /dev/liveupdate; machine: {}", parts_.machine);
  }
  if (parts_.host_update->under_way()) return fail(EBUSY, "an update of the host is going on");
  luo::Updates& updates = parts_.core.updates();
  std::vector<abi::UpdateSlot*> list = updates.all_of_request(request.words);
  if (action != "check") saved_.reset();
  bool frozen = false;
  const bool asks = action == "check" || action == "hand over";
  if (action == "begin" || asks) {
    luo::Updates::HostOptions options{.scope = luo::Scope::kKernel};
    std::ranges::copy(request.words, options.request_id);
    if (list.empty() && action == "begin") list = TRY(updates.begin_host(options));
    frozen = all_frozen(list);
    if (action == "begin" && goes_on(list)) {
      waiting.what = Waiting::For::kKexec;
      waiting.request = request;
      return std::optional<Json>();
    }
    // A worker that came after the one that was told to pause serves.
    if (asks) frozen = frozen && device_.is_paused();
    if (frozen && action == "check") {
      begin_reboot_hold(parts_.control, waiting.connection, parts_.now() + kPauseNs);
    }
    if (frozen && action == "hand over") {
      parts_.hand_over->begin(waiting.connection, parts_.now());
    }
  } else if (action == "handed over") {
    TRY(parts_.hand_over->complete(parts_.records()));
    frozen = true;
  } else if (action == "cancel") {
    // A worker that came meanwhile has cancelled it itself.
    const bool is_there = !list.empty() && !is_at(list.front(), abi::UpdateStep::kCancelled);
    if (is_there) TRY(updates.cancel(*list.front(), ECANCELED, "the kexec was given up"));
    device_.pause_until(0);
    end_reboot_hold(parts_.control);
    parts_.hand_over->undo();
  } else if (action != "look") {
    return wire::bad_param("action",
                           "look, begin, check, hand over, handed over or cancel is expected");
  }
  const bool copied = action == "look" || (action == "begin" && frozen);
  Json told = TRY(kexec_told(list, frozen, copied));
  return std::optional(std::move(told));
}

// Each turn, while somebody waits: once all are frozen, or it was cancelled.
std::optional<Answer> Methods::kexec_news(const Waiting& waiting) {
  const auto list = parts_.core.updates().all_of_request(waiting.request.words);
  if (goes_on(list)) return std::nullopt;
  const bool frozen = all_frozen(list);
  const Result<Json> told = kexec_told(list, frozen, frozen);
  return Answer{told ? wire::reply_text(*told) : wire::error_text(told.error()), true};
}

// `copied`: with a copy of the arena as it is. Once all are frozen, no request is read.
Result<Json> Methods::kexec_told(const std::vector<abi::UpdateSlot*>& list, bool frozen,
                                 bool copied) {
  const bool handed = HandOver::is_begun(parts_.control);
  if (frozen) device_.pause_until(parts_.now() + (handed ? HandOver::kPatienceNs : kPauseNs));
  if (copied) {
    saved_ = TRY(kho::private_copy(parts_.arena.file()));
    TRY(sys::add_seals(saved_, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL));
  }
  Json services = Json::array();
  const char* manager = getenv("NOTIFY_SOCKET");
  for (const abi::UpdateSlot* update : list) services.push_back(update_summary(*update));
  return Json{{"frozen", frozen},
              {"pid", ::getpid()},
              {"pid_keeper", parts_.control.keeper_pid()},
              {"notify_socket", manager != nullptr ? Json(manager) : Json()},
              {"liveupdate_fd", machine::load_word(parts_.control.block().liveupdate_fd)},
              // Below 0 where the clock was never set.
              {"steady_offset_ns", static_cast<int64_t>(steady_offset_ns())},
              {"arena_fd", saved_.valid() ? Json(saved_.get()) : Json()},
              {"services", std::move(services)}};
}

}  // namespace outlive::daemon
