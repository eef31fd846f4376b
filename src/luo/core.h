// Core: the orchestrator's parts over one arena, and the operations that touch several of them.
//
// Happy path:   create() on an empty arena, or attach() on an inherited one; then requests.
// Unhappy path: attach refuses the image as a whole (Error with the reason); nothing is dropped.
// Locks: none, one thread; no I/O but what Context hands in.
#pragma once

#include "luo/arena_quota.h"
#include "luo/lease.h"
#include "luo/update.h"

namespace outlive::luo {

class Core {
 public:
  struct Report {
    Records::AttachReport records;
    kho::AttachReport arena;
    uint64_t swept = 0;  // pages that no record reached
  };
  // `host` must outlive the core. The context's records and quota are filled in.
  static Result<std::unique_ptr<Core>> create(kho::Arena& arena, Context context, UpdateHost& host);
  static Result<std::unique_ptr<Core>> attach(kho::Arena& arena, Context context, UpdateHost& host,
                                              Report* report = nullptr);

  Context& context() { return context_; }
  Records& records() { return *records_; }
  kho::RootFdt& fdt() { return fdt_; }
  Sessions& sessions() { return sessions_; }
  Files& files() { return files_; }
  Flbs& flbs() { return flbs_; }
  Services& services() { return services_; }
  Updates& updates() { return updates_; }
  ClientSubtrees& subtrees() { return subtrees_; }
  Leases& leases() { return leases_; }
  const ArenaQuota& arena_quota() const { return arena_quota_; }

  // Words that the caller wants to be true with the (first) commit of an operation: its reply.
  using Also = std::function<void(Change&)>;
  // Ends a session: its files are unpreserved or finished, last first, and its holders' records
  // point to no session any more. Many files take several changes; a death between them is finished
  // at attach. EBUSY (finish only): can_finish said no, nothing is finished.
  Status end_session(Session& session, bool finish, const Also& also = {});
  // All files of an incoming session are finished; the empty session stays until it is closed.
  Status finish_files(Session& session, const Also& also = {});
  // An incoming session, or all of a service's, becomes outgoing. EEXIST: an outgoing one has the
  // name.
  Status adopt(Session& session, const abi::ServiceSlot& service, const Also& also = {});
  Status adopt_plain(Session& session, const Also& also = {});  // of no service
  Status adopt_all(abi::ServiceSlot& service, const Also& also = {});
  // Nobody has claimed it in time: it is ended. The log says so.
  void give_up(Session& session, const Also& also = {});
  // Removes a service's record, its updates, timelines and sessions.
  void remove_service(abi::ServiceSlot& service, const Also& also = {});

  // Fds that LIVE records name.
  std::vector<BorrowedFd> named_fds();
  // The host's state: normal, or updated while anything inherited waits.
  State state() { return state_ == State::kNormal ? updates_.host_state() : state_; }
  State& state_word() { return state_; }

 private:
  Core(kho::Arena& arena, Context context, UpdateHost& host);
  Status load(uint64_t* swept);
  void finish_ending();
  Status adopt_as(Session& session, uint64_t generation, const Also& also);
  void forget_service_connections(uint64_t service);

  Context context_;
  kho::RootFdt fdt_;
  std::unique_ptr<Records> records_;
  Sessions sessions_;
  Flbs flbs_;
  Files files_;
  Services services_;
  Updates updates_;
  ClientSubtrees subtrees_;
  Leases leases_;
  ArenaQuota arena_quota_;
  State state_ = State::kUndefined;
};

}  // namespace outlive::luo
