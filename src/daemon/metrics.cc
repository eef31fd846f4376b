#include "daemon/metrics.h"

#include <map>

#include "abi/wire.h"
#include "daemon/exposition.h"
#include "daemon/methods.h"
#include "daemon/totals.h"
#include "machine/process/fd_table.h"

namespace outlive::daemon {
namespace {

using abi::Request;
using machine::load_word;

constexpr size_t kMostUids = 256;  // with samples of their own; the rest is one, uid="other"

const char* request_name(Request request) {
  switch (request) {
    case Request::kCreateSession:
      return "create_session";
    case Request::kRetrieveSession:
      return "retrieve_session";
    case Request::kPreserveFd:
      return "preserve_fd";
    case Request::kRetrieveFd:
      return "retrieve_fd";
    case Request::kFinish:
      return "finish";
    case Request::kGetName:
      return "get_name";
    case Request::kList:
      return "list";
    case Request::kStatus:
      return "status";
    case Request::kAddSubtree:
      return "add_subtree";
    case Request::kRemoveSubtree:
      return "remove_subtree";
    case Request::kRetrieveSubtree:
      return "retrieve_subtree";
    case Request::kParticipate:
      return "participate";
    case Request::kReady:
      return "ready";
    case Request::kVeto:
      return "veto";
    case Request::kEndSession:
      return "end_session";
    case Request::kPreviewList:
      return "preview_list";
    case Request::kFdDataQuery:
      return "fd_data_query";
    case Request::kAdoptAll:
      return "adopt_all";
    case Request::kFinishAll:
      return "finish_all";
    case Request::kPreviewMany:
      return "preview_many";
    case Request::kUnpreserveFd:
      return "unpreserve_fd";
    case Request::kPreserveMany:
      return "preserve_many";
    case Request::kRetrieveMany:
      return "retrieve_many";
    case Request::kAdopt:
      return "adopt";
    case Request::kListFiles:
      return "list_files";
    case Request::kUnpreserveMany:
      return "unpreserve_many";
    default:
      return "other";
  }
}

void add_requests(Exposition& out, const abi::MetricTotals& totals) {
  // Numbers that no request has share a name.
  std::map<std::pair<std::string, int>, uint64_t> counts;
  uint64_t quota = 0;
  for (const abi::RequestCount& one : totals.requests) {
    const uint64_t key = load_word(one.key);
    if (key == 0) continue;
    const auto code = static_cast<int>(key & 0xffff);
    counts[{request_name(static_cast<Request>(key >> 16 & 0xffff)), code}] += load_word(one.count);
    if (code == EDQUOT || code == EMFILE) quota += load_word(one.count);
  }
  out.family("outlive_requests_total", "counter", "Requests that were answered, by errno.");
  for (const auto& [what, value] : counts) {
    const auto& [name, code] = what;
    out.sample({{"request", name}, {"errno", code == 0 ? "0" : errno_name(code)}}, value);
  }
  out.single("outlive_quota_refusals_total", "counter",
             "Requests and connections that were refused over a limit.",
             quota + load_word(totals.connections_refused));
}

void add_updates(Exposition& out, const abi::MetricTotals& totals) {
  out.single("outlive_updates_committed_total", "counter", "Updates of services that committed.",
             load_word(totals.updates_committed));
  out.family("outlive_updates_cancelled_total", "counter",
             "Updates of services that were rolled back, by reason.");
  for (size_t i = 0; i < static_cast<size_t>(abi::CancelReason::kCount); ++i) {
    out.sample({{"reason", name_of(static_cast<abi::CancelReason>(i))}},
               load_word(totals.updates_cancelled[i]));
  }
  out.family("outlive_update_blackout_seconds", "histogram",
             "How long nobody served in an update that committed.");
  out.histogram(totals.blackout);
}

void add_control(Exposition& out, const machine::Control& control, bool hold) {
  const abi::ControlBlock& block = control.block();
  const abi::MetricTotals& totals = block.operators.totals;
  out.family("outlive_build_info", "gauge", "The version of outlived.");
  out.sample({{"version", OUTLIVE_VERSION}}, 1);
  out.single("outlive_hold", "gauge", "1: everything is held, nobody is served.", hold ? 1 : 0);
  out.single("outlive_worker_deaths_total", "counter", "Deaths of the worker.",
             load_word(block.worker_deaths));
  out.single("outlive_keeper_takeovers_total", "counter",
             "Deaths of the keeper, after which the spare took over.",
             load_word(block.keeper_deaths));
  out.single("outlive_self_updates_total", "counter", "Updates of outlived itself.",
             load_word(block.takeover.updates));
  out.single("outlive_self_rollbacks_total", "counter", "Returns of outlived to the binary before.",
             load_word(block.takeover.rollbacks));
  out.single("outlive_orphans_closed_total", "counter",
             "Descriptors that no record named, closed when a worker started.",
             load_word(block.orphans_closed));
  out.single("outlive_leaks_corrected_total", "counter",
             "Pages that no record reached, given back when a worker started.",
             load_word(block.folios_reclaimed) + load_word(block.tracker_corrected));
  out.single("outlive_closer_timeouts_total", "counter",
             "Closes of clients' files that took too long and were killed.",
             load_word(totals.closer_timeouts));
  out.family("outlive_reloads_total", "counter", "Reloads of the configuration.");
  out.sample({{"result", "applied"}}, load_word(totals.reloads));
  out.sample({{"result", "refused"}}, load_word(totals.reloads_refused));
  out.single("outlive_connections_total", "counter", "Connections to the device.",
             load_word(totals.connections));
  out.single("outlive_control_calls_total", "counter", "Calls of operators.",
             load_word(totals.control_calls));
  add_requests(out, totals);
  add_updates(out, totals);
  out.family("outlive_loop_turn_seconds", "histogram",
             "Turns of the worker's loop, without its waiting.");
  out.histogram(totals.turns);
}

struct OfUid {
  uint64_t sessions = 0;
  uint64_t files = 0;
  uint64_t bytes = 0;
};

void add_uids(Exposition& out, const Parts& parts) {
  std::map<uint64_t, OfUid> uids;
  OfUid others;
  const auto of = [&](uint64_t uid) -> OfUid& {
    const bool room = uids.size() < kMostUids || uids.contains(uid);
    return room ? uids[uid] : others;
  };
  parts.core.sessions().for_each([&](const luo::Session& session) {
    OfUid& one = of(session.uid);
    ++one.sessions;
    one.files += session.files.size();
    session.files.each_after(0, [&](const abi::FileSlot& file) {
      one.bytes += file.size;
      return true;
    });
  });
  const auto family = [&](const char* name, const char* help, uint64_t OfUid::*what) {
    out.family(name, "gauge", help);
    for (const auto& [uid, one] : uids) out.sample({{"uid", fmt::to_string(uid)}}, one.*what);
    if (others.sessions != 0) out.sample({{"uid", "other"}}, others.*what);
  };
  family("outlive_sessions", "Sessions, by owner.", &OfUid::sessions);
  family("outlive_files", "Preserved files, by owner.", &OfUid::files);
  family("outlive_file_bytes", "Sizes of preserved files when they were preserved, by owner.",
         &OfUid::bytes);
}

void add_services(Exposition& out, const Parts& parts) {
  constexpr size_t kStates = static_cast<size_t>(abi::ServiceState::kBackoff) + 1;
  uint64_t states[kStates] = {};
  parts.core.services().for_each([&](const abi::ServiceSlot& service) {
    if (service.state < kStates) ++states[service.state];
  });
  out.family("outlive_services", "gauge", "Services, by state.");
  for (size_t i = 0; i < kStates; ++i) {
    out.sample({{"state", name_of(static_cast<abi::ServiceState>(i))}}, states[i]);
  }
}

}  // namespace

std::string control_metrics(const machine::Control& control, bool hold) {
  Exposition out;
  add_control(out, control, hold);
  return out.take();
}

std::string all_metrics(const Parts& parts, uint64_t connections) {
  Exposition out;
  add_control(out, parts.control, false);
  add_uids(out, parts);
  add_services(out, parts);
  out.single("outlive_connections", "gauge", "Connections to the device that are open.",
             connections);
  out.single("outlive_closer_pending", "gauge", "Clients' files that wait to be closed.",
             parts.closer.pending());
  out.single("outlive_live_update_number", "gauge",
             "Live updates that this state has lived through.",
             parts.records().root().live_update_number);
  out.single("outlive_arena_used_bytes", "gauge", "Memory of the arena that is in use.",
             parts.arena.used_pages() * abi::kPageSize);
  out.single("outlive_arena_limit_bytes", "gauge", "The most that the arena may grow to.",
             parts.config.arena_max);
  out.single("outlive_fds_open", "gauge", "Open descriptors.", machine::count_open_fds());
  out.single("outlive_fds_limit", "gauge", "The limit of open descriptors.", parts.fd_limit);
  return out.take();
}

}  // namespace outlive::daemon
