#include "daemon/worker.h"

#include <string.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>

#include "base/log.h"
#include "base/sys.h"
#include "daemon/control_server.h"
#include "daemon/device.h"
#include "daemon/hold_server.h"
#include "daemon/metrics.h"
#include "daemon/metrics_address.h"
#include "daemon/metrics_server.h"
#include "daemon/recorder.h"
#include "daemon/reloader.h"
#include "daemon/service_manager.h"
#include "daemon/totals.h"
#include "files/classify.h"
#include "machine/process/fd_table.h"

namespace outlive::daemon {

namespace {

// The part of the core's host that exists before the loop does: fds that attach wants closed wait.
struct Releases {
  machine::Closer* closer = nullptr;
  std::vector<BorrowedFd> early;
  void take(BorrowedFd fd) { closer != nullptr ? closer->close(fd) : early.push_back(fd); }
};

std::string local_path(BorrowedFd fd) {
  sockaddr_un name{};
  socklen_t length = sizeof name;
  const Result<int> domain = sys::get_int_option(fd, SOL_SOCKET, SO_DOMAIN);
  if (!domain || *domain != AF_UNIX) return {};
  if (::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&name), &length) != 0) return {};
  return std::string(name.sun_path, strnlen(name.sun_path, sizeof name.sun_path));
}

// An arena that nobody has formatted yet is all holes.
bool is_blank(BorrowedFd arena) {
  abi::ArenaHeader header{};
  const ssize_t got = ::pread(arena.get(), &header, sizeof header, 0);
  static constexpr abi::ArenaHeader kBlank{};
  return got == sizeof header &&
         memcmp(header.compatible, kBlank.compatible, sizeof header.compatible) == 0;
}

uint64_t soft_fd_limit() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  return limit.rlim_cur;
}

constexpr uint64_t kHeartbeatNs = 500'000'000;
constexpr uint64_t kLookNs = kHeartbeatNs;  // between two looks for orphans of services

class Worker {
 public:
  Worker(WorkerInput& input, machine::WorkerContext& context)
      : input_(input), control_(context.control), context_(context) {}

  Status attach();
  Status start();
  int run();

 private:
  Status attach_core(luo::Context& context);
  uint64_t lease_ns(const abi::SessionSlot& session) const;
  Result<std::vector<UniqueFd>> take_table();
  Status start_operators();
  Status turn();
  void count_turn();
  void reap();
  void kill_strangers();
  int timeout() const;

  WorkerInput& input_;
  machine::Control& control_;
  machine::WorkerContext& context_;
  Releases releases_;
  Recorder recorder_;
  std::unique_ptr<kho::Arena> arena_;
  Supervisor supervisor_;
  std::unique_ptr<luo::Core> core_;
  std::unique_ptr<Loop> loop_;
  std::unique_ptr<machine::Closer> closer_;
  std::unique_ptr<machine::LaunchQueue> launches_;
  std::unique_ptr<Parts> parts_;
  std::unique_ptr<Device> device_;
  std::unique_ptr<ControlServer> server_;
  std::unique_ptr<MetricsServer> metrics_;
  std::unique_ptr<Reloader> reloader_;
  std::vector<UniqueFd> found_;  // accepted connections of a dead worker
  uint64_t leaks_ = 0;
  uint64_t closer_timeouts_ = 0;  // that are counted in the totals
  uint64_t next_look_ns_ = 0;
  bool stopping_ = false;  // by an operator
  bool stop_begun_ = false;
  bool stopped_ = false;
};

// ---- attach: the arena and the records ----------------------------------------------------------

Status Worker::attach() {
  const uint64_t begun = system_clock().now_ns();
  if (is_blank(input_.arena)) {
    arena_ = TRY(kho::Arena::create(input_.arena));
  } else {
    kho::AttachReport report;
    arena_ = TRY(kho::Arena::attach(input_.arena, &report));
    leaks_ = report.reclaimed_folios + report.tracker_corrections;
    count(control_.operators().totals.leaks_corrected, leaks_);
    if (leaks_ != 0) {
      log_notice("leak ledger: {} folios reclaimed, {} tracker bits corrected",
                 report.reclaimed_folios, report.tracker_corrections);
    }
  }
  luo::Context context;
  context.handlers = &input_.handlers;
  context.clock = &system_clock();
  context.limits = input_.config.limits;
  context.classify = files::classify;
  context.classify_to_preserve = [this](BorrowedFd fd) -> Result<luo::FileFacts> {
    auto facts = TRY(files::classify_to_preserve(fd));
    if (device_ != nullptr && device_->is_ours(fd, facts)) {
      return fail(ENOENT, "no handler takes a connection of outlived's own");
    }
    return facts;
  };
  context.release = [this](BorrowedFd fd) { releases_.take(fd); };
  context.lease_ns = [this](const abi::SessionSlot& session) { return lease_ns(session); };
  TRY(attach_core(context));
  core_->updates().times = input_.config.times;
  TRY(recorder_.open(*arena_, input_.config.regions));
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
  const ServiceSpec spec = supervisor_.spec_of(*service);
  return spec.lease_ms ? *spec.lease_ms * 1'000'000 : input_.config.lease_ns;
}

// ---- start: the table, the sockets, the updates -------------------------------------------------

// Closes what no record names; accepted connections of ours are found_ and become new clients.
Result<std::vector<UniqueFd>> Worker::take_table() {
  std::vector<BorrowedFd> named = core_->named_fds();
  for (const BorrowedFd fd : control_.held_fds()) named.push_back(fd);
  for (const BorrowedFd fd :
       {input_.arena, input_.device_listener, input_.control_listener, input_.lock}) {
    named.push_back(fd);
  }
  std::sort(named.begin(), named.end());
  std::vector<UniqueFd> found;
  const auto adopt = [&](BorrowedFd fd) {
    const std::string path = local_path(fd);
    const bool ours =
        path == input_.runtime.liveupdate_socket() || path == input_.runtime.control_socket();
    // What a client sent may block in close(2), and the client chooses for how long.
    ours ? static_cast<void>(found.emplace_back(fd.get())) : closer_->close(fd);
    return true;
  };
  const auto unnamed = TRY(machine::close_orphans(named, BorrowedFd(3), adopt));
  const size_t orphans = unnamed.adopted + unnamed.closed - found.size();
  count(control_.operators().totals.orphans_closed, orphans);
  if (orphans != 0 || !found.empty()) {
    log_info("{} orphaned fds closed, {} connections taken on", orphans, found.size());
  }
  return found;
}

Status Worker::start_operators() {
  metrics_ = std::make_unique<MetricsServer>(*loop_, control_.operators(), parts_->metrics);
  reloader_ =
      std::make_unique<Reloader>(*parts_, input_.config, input_.options, supervisor_, *metrics_);
  parts_->reloader = reloader_.get();
  return loop_->add(control_.worker_wake(), EPOLLIN, [](uint32_t) {});
}

Status Worker::start() {
  closer_ = std::make_unique<machine::Closer>(control_);
  closer_->in_use = [this](BorrowedFd fd) {
    std::vector<BorrowedFd> named = core_->named_fds();
    for (const BorrowedFd held : control_.held_fds()) named.push_back(held);
    return std::any_of(named.begin(), named.end(), [&](BorrowedFd one) { return one == fd; });
  };
  found_ = TRY(take_table());
  Loop loop = TRY(Loop::create());
  loop_ = std::make_unique<Loop>(std::move(loop));
  launches_ = std::make_unique<machine::LaunchQueue>(control_);
  releases_.closer = closer_.get();
  // What attach released is closed already: no record named it when the table was taken.
  releases_.early.clear();
  parts_ = std::unique_ptr<Parts>(new Parts{
      input_.config, input_.runtime, input_.state_dir, control_, *loop_, *closer_, *launches_,
      *arena_, *core_, system_clock(), system_clock().now_ns(), [this] { stopping_ = true; },
      [this](bool previous) { return recorder_.read(previous); },
      [this] { return recorder_.written(); }, leaks_, soft_fd_limit(), input_.confined, nullptr,
      [this] { return all_metrics(*parts_, device_->size()); }});
  device_ = std::make_unique<Device>(*parts_, supervisor_);
  supervisor_.bind(*parts_, *device_);
  server_ = std::make_unique<ControlServer>(*parts_, supervisor_, *device_);
  TRY(device_->start(input_.device_listener));
  core_->leases().load();
  TRY(server_->start(input_.control_listener));
  TRY(start_operators());
  if (context_.inner_keeper.valid()) {
    TRY(loop_->add(context_.inner_keeper, EPOLLIN, [this](uint32_t) { context_.keeper_turn(); }));
  }
  control_.set_worker_state(abi::WorkerState::kServing);
  for (UniqueFd& fd : found_) {
    const bool device = local_path(fd) == input_.runtime.liveupdate_socket();
    device ? device_->take_on(std::move(fd)) : server_->take_on(std::move(fd));
  }
  found_.clear();
  reap();
  supervisor_.start();
  reloader_->start();
  if (context_.start_number == 1) {
    tell_service_manager(fmt::format("READY=1\nMAINPID={}\n", control_.keeper_pid()));
    log_notice("outlived {} serves at {}", OUTLIVE_VERSION, input_.runtime.path);
    log_notice("the worker's confinement: {}", input_.confined);
  }
  return {};
}

// ---- the loop -----------------------------------------------------------------------------------

void Worker::reap() {
  control_.drain_worker_wake();
  launches_->pump();
  bool look = parts_->now() >= next_look_ns_;
  while (const auto exit = control_.peek_exit()) {
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
    const Status killed = machine::kill_stranger(control_, stranger.pid);
    static_cast<void>(killed);
    log_warning("pid {}: an orphan of a service (session {}) was killed", stranger.pid,
                stranger.session);
  }
}

int Worker::timeout() const {
  uint64_t at = parts_->now() + kHeartbeatNs;
  for (const uint64_t other : {supervisor_.next_deadline(), core_->updates().next_deadline()}) {
    if (other != 0) at = std::min(at, other);
  }
  const uint64_t lease_in = core_->leases().next_in_ns();
  if (lease_in < kHeartbeatNs) at = std::min(at, parts_->now() + lease_in);
  if (closer_->pending() != 0) at = std::min(at, parts_->now() + 20'000'000);
  const uint64_t now = parts_->now();
  return at <= now ? 0 : static_cast<int>((at - now) / 1'000'000) + 1;
}

Status Worker::turn() {
  TRY(loop_->turn(timeout()));
  const uint64_t now = parts_->now();
  control_.beat(now);
  reap();
  core_->updates().tick(now);
  for (luo::Session* session : core_->leases().due()) core_->give_up(*session);
  supervisor_.tick(now);
  launches_->pump();
  closer_->tick(parts_->now());
  metrics_->tick(now);
  reloader_->tick();
  count_turn();
  return {};
}

void Worker::count_turn() {
  abi::MetricTotals& totals = control_.operators().totals;
  count_time(totals.turns, parts_->now() - loop_->woken_ns());
  if (closer_->timeouts() == closer_timeouts_) return;
  count(totals.closer_timeouts, closer_->timeouts() - closer_timeouts_);
  closer_timeouts_ = closer_->timeouts();
}

int Worker::run() {
  while (!stopped_) {
    if (const Status turned = turn(); !turned) {
      log_error("the event loop: {}", turned.error().message);
      return machine::kRestartCode;
    }
    if ((control_.stop_requested() != 0 || stopping_) && !stop_begun_) {
      stop_begun_ = true;
      log_notice("stopping: services first");
      tell_service_manager("STOPPING=1\n");
      supervisor_.stop_all([this] { stopped_ = true; });
    }
  }
  for (const auto& path : {input_.runtime.liveupdate_socket(), input_.runtime.control_socket()}) {
    const Status gone = sys::unlink(path);
    static_cast<void>(gone);
  }
  if (const BorrowedFd metrics(static_cast<int>(control_.operators().metrics_fd));
      metrics.valid()) {
    unlink_bound(metrics);
  }
  log_notice("stopped");
  return 0;
}

}  // namespace

int worker_main(WorkerInput& input, machine::WorkerContext& context) {
  set_log_role("worker");
  const auto hold_because = [&](std::string reason) {
    return hold(
        {context.control, input.runtime, input.control_listener, std::move(reason), !context.hold});
  };
  if (context.hold) {
    return hold_because(
        fmt::format("outlived's worker died too often ({} deaths); requests wait. To try again: "
                    "kill -HUP {}; to end everything: kill {}",
                    context.control.block().worker_deaths, context.control.keeper_pid(),
                    context.control.keeper_pid()));
  }
  input.config = take_config(context.control, input.options, std::move(input.config));
  set_log_level(input.config.log_level);
  Worker worker(input, context);
  if (const Status attached = worker.attach(); !attached) {
    log_error("The incoming tree failed to initialize properly [{}], disabling live update",
              errno_name(attached.error().code));
    return hold_because(attached.error().message);
  }
  if (const Status started = worker.start(); !started) {
    log_error("start: {}", started.error().text());
    return EXIT_FAILURE;
  }
  return worker.run();
}

}  // namespace outlive::daemon
