#include "daemon/serving.h"

#include <string.h>
#include <unistd.h>

#include <algorithm>

#include "base/log.h"
#include "base/mutant.h"
#include "base/sys.h"
#include "daemon/broken.h"
#include "daemon/hold_status.h"
#include "daemon/inheritance.h"
#include "daemon/listen_address.h"
#include "daemon/new_table.h"
#include "daemon/saved_image.h"
#include "files/classify.h"
#include "machine/process/fd_table.h"

namespace outlive::daemon {
namespace {

// False: its queue is full.
bool tell_service_manager(std::string_view text) {
  const int code = notify_manager(text);
  if (code == EAGAIN) return false;
  if (code != 0) log_warning("service manager: {}", strerrordesc_np(code));
  return true;
}

constexpr uint64_t kHeartbeatNs = 500'000'000;
constexpr uint64_t kFeedNs = 20'000'000;    // between two tries of what waits for descriptors
constexpr uint64_t kLookNs = kHeartbeatNs;  // between two looks for orphans of services

}  // namespace

// ---- attach: the arena and the records ----------------------------------------------------------

Status Serving::attach() {
  const uint64_t begun = system_clock().now_ns();
  if (is_blank(input_.arena)) {
    TRY(clear_arena(input_.arena));  // whoever was clearing it may have died in the middle
    arena_ = TRY(kho::Arena::create(input_.arena));
  } else {
    kho::AttachReport& report = arena_report_;
    arena_ = TRY(kho::Arena::attach(input_.arena, &report));
    corrected_.folios = report.reclaimed_folios;
    corrected_.tracker = report.tracker_corrections;
    if (corrected_.leaks() != 0) {
      log_notice("leak ledger: {} folios reclaimed, {} tracker bits corrected",
                 report.reclaimed_folios, report.tracker_corrections);
    }
  }
  luo::Context context;
  context.handlers = &input_.handlers;
  context.clock = &system_clock();
  context.limits = input_.config.limits;
  context.limits_by_uid = input_.config.limits_by_uid();
  for (const luo::Grant& grant : input_.config.grants) context.grants.add(grant);
  context.classify = files::classify;
  context.identify = files::identify;
  context.classify_to_preserve = [this](BorrowedFd fd) -> Result<luo::FileFacts> {
    auto facts = TRY(files::classify_to_preserve(fd));
    if (device_ != nullptr && device_->is_ours(fd, facts)) {
      return fail(ENOENT, "no handler takes a session or connection of outlived's");
    }
    return facts;
  };
  context.hold = [this](BorrowedFd fd) {
    if (store_ != nullptr) store_->hold(fd);
  };
  context.release = [this](BorrowedFd fd) { releases_.take(fd); };
  context.lease_ns = [this](const abi::SessionSlot& session) { return lease_ns(session); };
  TRY(attach_core(context));
  note_boot(core_->records(), input_.boot);
  enter_table();
  TRY(core_->files().verify());
  core_->updates().times = input_.config.times;
  ledger_ = std::make_unique<Ledger>(control_, core_->records(), context_.start_number == 1);
  ledger_->add(arena_report_.reclaimed_folios, arena_report_.tracker_corrections, 0);
  TRY(recorder_.open(*arena_, input_.config.regions));
  // Not before: what is held must be taken up, however little memory is left.
  arena_->ask_before_growth([this](uint64_t bytes) { return input_.memory.check(bytes); });
  log_info("worker {} attached in {} us: {} sessions, {} files", context_.start_number,
           (system_clock().now_ns() - begun) / 1000, core_->sessions().size(),
           core_->records().count(abi::PoolKind::kFile));
  return {};
}

Status Serving::attach_core(luo::Context& context) {
  if (!kho::RootFdt(*arena_).find_subtree(abi::kSubtreeRecords)) {
    core_ = TRY(luo::Core::create(*arena_, context, supervisor_));
    return {};
  }
  luo::Core::Report report;
  core_ = TRY(luo::Core::attach(*arena_, context, supervisor_, &report));
  const luo::Records::AttachReport& records = report.records;
  corrected_.pages = records.pages_reclaimed + report.swept;
  corrected_.records = records.undone + records.finished + records.zeroed;
  corrected_.changes = records.redo_applied ? 1 : 0;
  if (report.records.redo_applied || report.records.undone != 0) {
    log_info("a change of the worker before was {}, {} records undone",
             report.records.redo_applied ? "carried on" : "complete", report.records.undone);
  }
  return {};
}

// The service's own wish, else the configured time.
uint64_t Serving::lease_ns(const abi::SessionSlot& session) const {
  const auto* service = core_->services().at(session.service);
  if (service == nullptr) return input_.config.lease_ns;
  const ServiceSpec& spec = supervisor_.known_spec(*service);
  return spec.lease_ms ? *spec.lease_ms * 1'000'000 : input_.config.lease_ns;
}

// Nothing but the arena has been touched so far, and that as any worker does.
Status Serving::commit() {
  for (const BorrowedFd fd : core_->named_fds()) {
    TRY(sys::get_fd_flags(fd).context("an fd of a record has not crossed: {}", fd.get()));
  }
  if (!machine::Takeover(control_).commit()) return fail(ETIMEDOUT, "the old binary goes on");
  return {};
}

// A table of descriptors that the service manager has handed over is not the records' one.
void Serving::enter_table() {
  abi::ControlBlock& block = control_.block();
  if (!input_.inherits) return;
  abi::RecordsRoot& root = core_->records().root();
  if (block.table_epoch == 0) machine::store_word(block.table_epoch, root.fd_epoch + 1);
  if (root.fd_epoch == block.table_epoch) return;
  const NewTableReport report = enter_new_table(*core_, input_.inherited, input_.inherited,
                                                block.table_epoch, system_clock());
  machine::store_word(block.store_mark, root.committed);  // it is where all of it comes from
  log_notice(
      "taken over from the service manager's fd store: {} sessions, {} files ({} lost), {} "
      "connections lost",
      core_->sessions().size(), core_->records().count(abi::PoolKind::kFile), report.files_lost,
      report.connections_lost);
}

// ---- start: the table, the sockets, the updates -------------------------------------------------

// Closes what no record names; accepted connections of ours are found_ and become new clients.
Result<std::vector<UniqueFd>> Serving::take_table() {
  std::vector<BorrowedFd> named = core_->named_fds();
  const std::vector<BorrowedFd> verified = core_->files().open_fds();
  for (const BorrowedFd fd : control_.held_fds()) named.push_back(fd);
  for (const BorrowedFd fd : input_.fds()) named.push_back(fd);
  std::sort(named.begin(), named.end());
  std::vector<UniqueFd> found;
  const auto adopt = [&](BorrowedFd fd) {
    const std::string path = local_path(fd);
    const bool ours =
        path == input_.runtime.liveupdate_socket() || path == input_.runtime.control_socket();
    // What a client sent may block in close(2), and the client chooses for how long.
    ours ? static_cast<void>(found.emplace_back(fd.get())) : store_->release(fd);
    return true;
  };
  if (mutant("orphan-not-closed")) return found;
  const auto count = TRY(machine::close_orphans(named, BorrowedFd(3), adopt, verified));
  const size_t orphans = count.adopted + count.closed - found.size();
  ledger_->add(0, 0, orphans);
  corrected_.fds = orphans;
  if (orphans != 0 || !found.empty()) {
    log_info("{} orphaned fds closed, {} connections taken on", orphans, found.size());
  }
  return found;
}

// What is open and no record's: for fsck.
std::vector<BorrowedFd> Serving::own_fds() const {
  std::vector<BorrowedFd> own = control_.held_fds();
  for (const auto& more : {loop_->fds(), closer_->fds(), launches_->fds(), opener_->fds(),
                           store_->fds(), input_.fds()}) {
    own.insert(own.end(), more.begin(), more.end());
  }
  return own;
}

Status Serving::start() {
  closer_ = std::make_unique<machine::Closer>(control_);
  closer_->in_use = [this](BorrowedFd fd) {
    std::vector<BorrowedFd> named = core_->named_fds();
    for (const BorrowedFd held : control_.held_fds()) named.push_back(held);
    return std::any_of(named.begin(), named.end(), [&](BorrowedFd one) { return one == fd; });
  };
  store_ = std::make_unique<FdStore>(input_.fd_store, control_, *closer_);
  found_ = TRY(take_table());
  Loop loop = TRY(Loop::create());
  loop_ = std::make_unique<Loop>(std::move(loop));
  launches_ = std::make_unique<machine::LaunchQueue>(control_);
  opener_ = std::make_unique<machine::Opener>(control_, *launches_, *closer_,
                                              input_.config.lookup_timeout_ns);
  releases_.store = store_.get();
  // What attach released is closed already: no record named it when the table was taken.
  releases_.early.clear();
  parts_ = std::unique_ptr<Parts>(
      new Parts{input_.config, input_.runtime, input_.state_dir, control_, *loop_, *closer_,
                *store_, *launches_, *opener_, *arena_, *core_, system_clock(),
                system_clock().now_ns(), [this](bool previous) { return recorder_.read(previous); },
                [this] { return recorder_.written(); }, corrected_, [this] { return own_fds(); },
                machine::soft_fd_limit(), input_.confined});
  self_update_ = std::make_unique<SelfUpdate>(*parts_);
  parts_->self_update = self_update_.get();
  host_update_ = std::make_unique<HostUpdate>(*parts_);
  parts_->host_update = host_update_.get();
  parts_->hand_over = &hand_over_.emplace(control_, *store_);
  parts_->machine = input_.machine;
  parts_->ledger = ledger_.get();
  if (input_.config.newest_format) {
    const Status finalized = ledger_->finalize(parts_->now());
    if (!finalized) log_info("[kho] format: later: {}", finalized.error().message);
  }
  device_ = std::make_unique<Device>(*parts_, supervisor_);
  supervisor_.bind(*parts_, *device_);
  server_ = std::make_unique<ControlServer>(*parts_, supervisor_, *device_);
  TRY(device_->start(input_.device_listener));
  core_->leases().load();
  TRY(server_->start(input_.control_listener));
  store_->resume(core_->records(), input_.stored_base(control_));
  operators_ = std::make_unique<Operators>(*parts_, input_, supervisor_, *device_);
  TRY(loop_->add(control_.worker_wake(), EPOLLIN, [](uint32_t) {}));
  if (context_.inner_keeper.valid()) {
    TRY(loop_->add(context_.inner_keeper, EPOLLIN, [this](uint32_t) { context_.keeper_turn(); }));
  }
  control_.set_worker_state(abi::WorkerState::kServing);
  machine::Takeover(control_).note_serving(parts_->now());
  break_at(BreakAt::kServing);
  for (UniqueFd& fd : found_) {
    const bool device = local_path(fd) == input_.runtime.liveupdate_socket();
    device ? device_->take_on(std::move(fd)) : server_->take_on(std::move(fd));
  }
  found_.clear();
  reap();
  supervisor_.start();
  operators_->start();
  tell_of_keeper();
  return {};
}

void Serving::report() {
  const auto status = hold_status(control_, input_.runtime.path, input_.machine_refused, true);
  fleet_.send(*launches_, input_.config, status, FleetReport::Policy::kGoesOn);
}

// Also after a spare has become the keeper: the manager must not take the service for dead.
void Serving::tell_of_keeper() {
  abi::ControlBlock& block = control_.block();
  if (block.told_keeper == static_cast<uint64_t>(control_.keeper_pid())) return;
  if (!tell_service_manager(fmt::format("READY=1\nMAINPID={}\n", control_.keeper_pid()))) return;
  if (block.told_keeper == 0) {
    input_.awaited.note_over();
    log_notice("outlived {} serves at {}", OUTLIVE_VERSION, input_.runtime.path);
    log_notice("the worker's confinement: {}", input_.confined);
    log_notice("machine: {}", input_.machine);
  }
  machine::store_word(block.told_keeper, static_cast<uint64_t>(control_.keeper_pid()));
}

// ---- the loop -----------------------------------------------------------------------------------

void Serving::reap() {
  control_.drain_worker_wake();
  launches_->pump();
  bool look = parts_->now() >= next_look_ns_;
  while (const auto exit = control_.peek_exit()) {
    opener_->child_exited(exit->pid);
    supervisor_.child_exited(*exit);
    control_.pop_exit();
    look = true;
  }
  if (look) kill_strangers();
}

// A service that ends leaves its orphans before its end is told. Those of one that lives on make no
// news, so they are looked for now and then; never in every turn, for it reads /proc.
void Serving::kill_strangers() {
  next_look_ns_ = parts_->now() + kLookNs;
  for (const machine::Stranger& stranger : machine::list_strangers(control_)) {
    static_cast<void>(machine::kill_stranger(control_, stranger.pid));
    log_warning("pid {}: an orphan of a service (session {}) was killed", stranger.pid,
                stranger.session);
  }
}

uint64_t Serving::timeout_ns() const {
  uint64_t at = parts_->now() + kHeartbeatNs;
  for (const uint64_t other : {supervisor_.next_deadline(), core_->updates().next_deadline()}) {
    if (other != 0) at = std::min(at, other);
  }
  const uint64_t lease_in = core_->leases().next_in_ns();
  if (lease_in < kHeartbeatNs) at = std::min(at, parts_->now() + lease_in);
  if (closer_->pending() != 0) at = std::min(at, parts_->now() + closer_->wait_ns());
  if (store_->waiting() != 0) at = std::min(at, parts_->now() + 20'000'000);
  if (device_->is_starved()) at = std::min(at, next_feed_ns_);
  at = sooner(at, opener_->next_deadline());
  at = sooner(at, sooner(device_->next_resume_ns(), server_->next_resume_ns()));
  const uint64_t now = parts_->now();
  return at <= now ? 0 : at - now;
}

Status Serving::turn() {
  TRY(loop_->turn(device_->has_work() || server_->has_work() ? 0 : timeout_ns()));
  device_->resume();
  server_->resume();
  device_->serve_some();
  server_->serve_some();
  device_->accept_some();
  server_->accept_some();
  const uint64_t now = parts_->now();
  control_.beat(now);
  tell_of_keeper();
  watchdog_.turn(now);
  opener_->tick(now);
  reap();
  if (!hand_over_->turn(now)) core_->updates().tick(now);
  for (luo::Session* session : core_->leases().due()) core_->give_up(*session);
  supervisor_.tick(now);
  launches_->pump();
  store_->flush(parts_->now(), core_->records().root().committed);
  if (store_->waiting() == 0) device_->stored();
  if (device_->is_starved() && now >= next_feed_ns_) {
    next_feed_ns_ = now + kFeedNs;
    device_->tick();
  }
  closer_->tick(parts_->now());
  host_update_->turn();
  if (self_update_->tick()) server_->self_update_changed();
  ledger_->keep();
  parts_->turns.note(parts_->now() - loop_->woken_ns());
  operators_->tick(now);
  return {};
}

int Serving::run() {
  while (!stopped_) {
    if (const Status turned = turn(); !turned) {
      log_error("the event loop: {}", turned.error().message);
      return machine::kRestartCode;
    }
    if (self_update_->may_leave() && !stop_begun_) self_update_->leave();
    if (HandOver::is_complete(control_)) return machine::kRestartCode;  // to hold
    if (control_.stop_requested() != 0 && HandOver::is_begun(control_)) break;
    if (control_.stop_requested() != 0 && !stop_begun_) {
      stop_begun_ = true;
      control_.begin_end(store_->on() ? abi::EndKind::kKept : abi::EndKind::kForGood);
      log_notice("stopping: services first");
      tell_service_manager("STOPPING=1\n");
      supervisor_.stop_all([this] { stopped_ = true; });
    }
  }
  const bool kept = control_.end_kind() == abi::EndKind::kKept;
  if (!kept) input_.runtime.remove_sockets();
  kept ? store_->settle(core_->records().root().committed) : store_->clear(core_->records());
  operators_->end();
  log_notice("stopped");
  return 0;
}

}  // namespace outlive::daemon
