// Kexec: the barrier over all services before the kernel is replaced, and the arena as it is then.
// The rest is done by who calls this (cli/kexec.cc): the worker may neither load a kernel nor
// reboot, and PRESERVE_FD would keep it from serving.
#include <unistd.h>

#include <algorithm>

#include "base/clock.h"
#include "base/sys.h"
#include "daemon/device.h"
#include "daemon/host_update.h"
#include "daemon/methods.h"
#include "daemon/reboot_hold.h"
#include "kho/image_copy.h"

namespace outlive::daemon {

using wire::Json;

namespace {
// Beyond it the update is cancelled by the deadline of its step: whoever asked is gone.
constexpr uint64_t kPauseNs = 30'000'000'000;
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
  bool frozen = false;
  if (action == "begin" || action == "check") {
    luo::Updates::HostOptions options{.scope = luo::Scope::kKernel};
    std::ranges::copy(request.words, options.request_id);
    if (list.empty() && action == "begin") list = TRY(updates.begin_host(options));
    frozen = std::ranges::all_of(list, [](const abi::UpdateSlot* update) {
      return update->step == static_cast<uint64_t>(abi::UpdateStep::kOffer);
    });
    // A worker that came after the one that was told to pause serves.
    if (action == "check") frozen = frozen && device_.is_paused();
    if (frozen) device_.pause_until(parts_.now() + kPauseNs);
    if (frozen && action == "check") {
      begin_reboot_hold(parts_.control, waiting.connection, parts_.now() + kPauseNs);
    }
  } else if (action == "cancel") {
    // A worker that came meanwhile has cancelled it itself.
    const bool goes_on =
        !list.empty() && list.front()->step != static_cast<uint64_t>(abi::UpdateStep::kCancelled);
    if (goes_on) TRY(updates.cancel(*list.front(), ECANCELED, "the kexec was given up"));
    device_.pause_until(0);
    end_reboot_hold(parts_.control);
  } else if (action != "look") {
    return wire::bad_param("action", "look, begin, check or cancel is expected");
  }
  if (action != "check") saved_.reset();
  if (action == "look" || (action == "begin" && frozen)) {
    saved_ = TRY(kho::private_copy(parts_.arena.file()));
    TRY(sys::add_seals(saved_, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL));
  }
  Json services = Json::array();
  for (const abi::UpdateSlot* update : list) services.push_back(update_summary(*update));
  return std::optional(Json{{"frozen", frozen},
                            {"pid", ::getpid()},
                            {"liveupdate_fd", device},
                            // Below 0 where the clock was never set.
                            {"steady_offset_ns", static_cast<int64_t>(steady_offset_ns())},
                            {"arena_fd", saved_.valid() ? Json(saved_.get()) : Json()},
                            {"services", std::move(services)}});
}

}  // namespace outlive::daemon
