#include "daemon/worker.h"

#include <string.h>
#include <unistd.h>

#include <algorithm>

#include "base/log.h"
#include "base/mutant.h"
#include "base/sys.h"
#include "daemon/broken.h"
#include "daemon/control_server.h"
#include "daemon/device.h"
#include "daemon/fleet_report.h"
#include "daemon/hand_over.h"
#include "daemon/hold_server.h"
#include "daemon/hold_status.h"
#include "daemon/host_update.h"
#include "daemon/inheritance.h"
#include "daemon/kexec_arrival.h"
#include "daemon/ledger.h"
#include "daemon/listen_address.h"
#include "daemon/new_table.h"
#include "daemon/operators.h"
#include "daemon/reboot_hold.h"
#include "daemon/recorder.h"
#include "daemon/reloader.h"
#include "daemon/saved_image.h"
#include "daemon/self_update.h"
#include "daemon/watchdog.h"
#include "files/classify.h"
#include "machine/process/fd_table.h"

namespace outlive::daemon {
namespace {

// The part of the core's host that exists before the loop does: fds that attach wants closed wait.
struct Releases {
  FdStore* store = nullptr;
  std::vector<BorrowedFd> early;
  void take(BorrowedFd fd) { store != nullptr ? store->release(fd) : early.push_back(fd); }
};

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

class Worker {
 public:
  Worker(WorkerInput& input, machine::WorkerContext& context)
      : input_(input), control_(context.control), context_(context) {}

  Status attach();
  // Of a binary that takes over: from here on it is the one. An error: it must not.
  Status commit();
  Status start();
  int run();
  // To the fleet: machine_refused, what was refused before this start.
  void report();

 private:
  Status attach_core(luo::Context& context);
  uint64_t lease_ns(const abi::SessionSlot& session) const;
  void enter_table();
  Result<std::vector<UniqueFd>> take_table();
  std::vector<BorrowedFd> own_fds() const;
  void tell_of_keeper();
  Status turn();
  void reap();
  void kill_strangers();
  uint64_t timeout_ns() const;

  WorkerInput& input_;
  machine::Control& control_;
  machine::WorkerContext& context_;
  Releases releases_;
  Recorder recorder_;
  Watchdog watchdog_;
  std::unique_ptr<kho::Arena> arena_;
  Supervisor supervisor_;
  std::unique_ptr<luo::Core> core_;
  std::unique_ptr<Loop> loop_;
  std::unique_ptr<machine::Closer> closer_;
  std::unique_ptr<FdStore> store_;
  std::unique_ptr<machine::LaunchQueue> launches_;
  std::unique_ptr<machine::Opener> opener_;
  std::unique_ptr<Parts> parts_;
  std::unique_ptr<Device> device_;
  std::unique_ptr<ControlServer> server_;
  std::unique_ptr<SelfUpdate> self_update_;
  std::unique_ptr<Operators> operators_;
  std::unique_ptr<HostUpdate> host_update_;
  std::optional<HandOver> hand_over_;
  FleetReport fleet_{control_};
  std::vector<UniqueFd> found_;  // accepted connections of a dead worker
  std::unique_ptr<Ledger> ledger_;
  kho::AttachReport arena_report_;
  LeakLedger corrected_;
  uint64_t next_look_ns_ = 0;
  uint64_t next_feed_ns_ = 0;
  bool stop_begun_ = false, stopped_ = false;
};

// ---- attach: the arena and the records ----------------------------------------------------------

Status Worker::attach() {
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

Status Worker::attach_core(luo::Context& context) {
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
uint64_t Worker::lease_ns(const abi::SessionSlot& session) const {
  const auto* service = core_->services().at(session.service);
  if (service == nullptr) return input_.config.lease_ns;
  const ServiceSpec& spec = supervisor_.known_spec(*service);
  return spec.lease_ms ? *spec.lease_ms * 1'000'000 : input_.config.lease_ns;
}

// Nothing but the arena has been touched so far, and that as any worker does.
Status Worker::commit() {
  for (const BorrowedFd fd : core_->named_fds()) {
    TRY(sys::get_fd_flags(fd).context("an fd of a record has not crossed: {}", fd.get()));
  }
  if (!machine::Takeover(control_).commit()) return fail(ETIMEDOUT, "the old binary goes on");
  return {};
}

// A table of descriptors that the service manager has handed over is not the records' one.
void Worker::enter_table() {
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
Result<std::vector<UniqueFd>> Worker::take_table() {
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
std::vector<BorrowedFd> Worker::own_fds() const {
  std::vector<BorrowedFd> own = control_.held_fds();
  for (const auto& more : {loop_->fds(), closer_->fds(), launches_->fds(), opener_->fds(),
                           store_->fds(), input_.fds()}) {
    own.insert(own.end(), more.begin(), more.end());
  }
  return own;
}

Status Worker::start() {
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

void Worker::report() {
  const auto status = hold_status(control_, input_.runtime.path, input_.machine_refused, true);
  fleet_.send(*launches_, input_.config, status, FleetReport::Policy::kGoesOn);
}

// Also after a spare has become the keeper: the manager must not take the service for dead.
void Worker::tell_of_keeper() {
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

void Worker::reap() {
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
void Worker::kill_strangers() {
  next_look_ns_ = parts_->now() + kLookNs;
  for (const machine::Stranger& stranger : machine::list_strangers(control_)) {
    static_cast<void>(machine::kill_stranger(control_, stranger.pid));
    log_warning("pid {}: an orphan of a service (session {}) was killed", stranger.pid,
                stranger.session);
  }
}

uint64_t Worker::timeout_ns() const {
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

Status Worker::turn() {
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

int Worker::run() {
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

}  // namespace

int worker_main(WorkerInput& input, machine::WorkerContext& context) {
  await_reboot(context.control);
  input.config = take_config(context.control, input);
  set_log_level(input.config.log_level);
  const Config& config = input.config;
  const auto hold_because = [&](std::string reason, bool reboot = false) {
    input.awaited.note_open();
    const int code = hold({context.control, input.runtime, input.control_listener,
                           std::move(reason), !context.hold, input.arena, config, reboot});
    input.awaited.note_over();  // an operator has decided
    return code;
  };
  const bool reboots = config.on_incoming_failure == "reboot";
  if (HandOver::is_complete(context.control)) return hold_because(kHandedOver);
  if (context.hold) {
    return hold_because(
        fmt::format("outlived's worker died too often ({0} deaths); requests wait. To try again: "
                    "kill -HUP {1}; with another binary: outlive update outlived; to end "
                    "everything: kill {1}",
                    context.control.block().worker_deaths, context.control.keeper_pid()));
  }
  if (!input.machine_refused.empty()) {
    log_error("The incoming tree failed to initialize properly, disabling live update: {}",
              input.machine_refused);
    const bool fresh = config.on_incoming_failure == "fresh";
    const int code = fresh ? EXIT_SUCCESS : hold_because(input.machine_refused, reboots);
    forget_arrival(input, context.control);
    if (!fresh) return code;
  }
  const EpochKept epoch(input.arena);
  auto worker = std::make_unique<Worker>(input, context);
  if (context.undecided) {
    break_at(BreakAt::kWorker);
    Status taken = worker->attach();
    if (taken) taken = worker->commit();
    if (!taken) {
      machine::Takeover(context.control).give_reason(taken.error().message);
      ::_exit(EXIT_FAILURE);  // no destructor: what it has is the old binary's
    }
  }
  Status attached = context.undecided ? Status() : worker->attach();
  if (!attached) {
    log_error("The incoming tree failed to initialize properly [{}], disabling live update",
              errno_name(attached.error().code));
    log_error("inherited state refused: {}", attached.error().message);
    worker.reset();  // the image is nobody's now
    epoch.put_back();
    if (config.on_incoming_failure != "fresh" ||
        !make_way(input.arena, input.state_dir, context.control)) {
      return hold_because(attached.error().message, reboots);
    }
    input.machine_refused = attached.error().message;
    worker = std::make_unique<Worker>(input, context);
    attached = worker->attach();
  }
  if (!attached) return hold_because(attached.error().message);
  if (const Status started = worker->start(); !started) {
    log_error("start: {}", started.error().text());
    return EXIT_FAILURE;
  }
  if (!input.machine_refused.empty()) worker->report();
  return worker->run();
}

}  // namespace outlive::daemon
