#include "daemon/kexec_arrival.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <set>
#include <vector>

#include "abi/kernel_carry.h"
#include "abi/kho.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/sys.h"
#include "daemon/image_core.h"
#include "daemon/kernel_store.h"
#include "daemon/new_table.h"
#include "files/classify.h"
#include "kho/image_copy.h"
#include "machine/kernel/carry.h"
#include "machine/kernel/device_refusal.h"
#include "machine/process/fd_table.h"
#include "machine/process/takeover.h"

namespace outlive::daemon {
namespace {

constexpr abi::ProcessWords kNoProcess{0, -1, 0, 0, -1, -1};
constexpr size_t kWordsOfAFile = 3;  // of its record, that are set

// As large as the arena was: what came is its beginning.
Result<UniqueFd> whole_arena(const machine::Arrival& arrival) {
  const BorrowedFd image = arrival.image();
  abi::ArenaHeader header{};
  if (::pread(image.get(), &header, sizeof header, 0) != sizeof header) {
    return fail(EUCLEAN, "the arena from the kernel before is too short");
  }
  const std::string version(header.compatible, strnlen(header.compatible, 32));
  if (version != abi::kArenaCompatible) {
    return fail(EPROTO, "the arena from the kernel before: version '{}' is not '{}'", version,
                abi::kArenaCompatible);
  }
  if (header.size > (uint64_t{1} << 42)) return fail(EUCLEAN, "the arena's size is no size");
  UniqueFd arena = TRY(kho::Arena::create_file(header.size));
  TRY(kho::copy_into(image, arena, arrival.image_bytes()));
  return arena;
}

// What records name in this table: once all is open, it is what the fd store is to have.
struct Adopted {
  explicit Adopted(luo::Core& core) : committed(core.records().root().committed) {
    core.records().for_each<abi::FileSlot>([&](abi::FileSlot& slot) {
      if (slot.fd < 0) return;
      const BorrowedFd file(static_cast<int>(slot.fd));
      files.push_back({stored_name(file), file});
      const luo::Session* session = core.sessions().at(slot.session);
      if (session != nullptr && luo::is_direct(*session)) direct.push_back(files.back());
    });
  }
  uint64_t committed;
  std::vector<FdStore::Named> files;
  std::vector<FdStore::Named> direct;  // of `files`: whole sessions of the kernel's
};

// Nothing is retrieved from a session before the fd store has it.
Status gather(luo::Core& core, machine::Arrival& arrival, KernelStore& store) {
  std::vector<uint64_t> direct;
  core.sessions().for_each([&](luo::Session& session) {
    if (luo::is_direct(session)) direct.push_back(session.slot->header.id);
  });
  const std::set<uint64_t> groups = arrival.groups();
  store.need_room_for(1 + groups.size() + direct.size() +
                      core.records().count(abi::PoolKind::kFile) + 3);
  const auto keep = [&](const Result<BorrowedFd>& session, bool as_file) -> Status {
    if (session) store.keep({as_file ? stored_name(*session) : abi::kStoreKernelSession, *session});
    // One that didn't cross: said where its files are.
    return session || session.error().code != ENODEV ? Status() : session.error();
  };
  for (const uint64_t group : groups) TRY(keep(arrival.open_group(group), false));
  for (const uint64_t id : direct) TRY(keep(arrival.open_direct(id), true));
  static_cast<void>(store.settled());
  return {};
}

class Settling {
 public:
  Settling(luo::Core& core, machine::Arrival& arrival, machine::Control& control)
      : core_(core), records_(core.records()), arrival_(arrival), control_(control) {}

  void files() {
    std::vector<abi::FileSlot*> slots;
    records_.for_each<abi::FileSlot>([&](abi::FileSlot& slot) { slots.push_back(&slot); });
    // In few changes: nobody sees these records before all of them are true.
    for (size_t done = 0; done < slots.size();) {
      luo::Change change(records_);
      for (; done < slots.size() && change.room() >= kWordsOfAFile; ++done) {
        control_.beat(system_clock().now_ns());
        take(change, *slots[done]);
        FAULT_POINT("daemon.arrival.file");
      }
      change.commit();
    }
    std::vector<luo::Session*> direct;
    core_.sessions().for_each([&](luo::Session& session) {
      if (luo::is_direct(session)) direct.push_back(&session);
    });
    for (luo::Session* session : direct) {
      const Status taken = take_direct(*session);
      if (!taken) {
        log_error("direct session '{}': lost over the kexec: {}", session->name,
                  taken.error().text());
      }
    }
    std::ranges::sort(open_);
  }

  // Numbers of a life before mean nothing now; the next process may well have the same.
  void processes() {
    std::vector<abi::ServiceSlot*> services;
    records_.for_each<abi::ServiceSlot>([&](abi::ServiceSlot& one) { services.push_back(&one); });
    for (abi::ServiceSlot* service : services) {
      luo::Change change(records_);
      change.set(service->current, kNoProcess);
      change.commit();
    }
    std::vector<abi::UpdateSlot*> updates;
    records_.for_each<abi::UpdateSlot>([&](abi::UpdateSlot& one) { updates.push_back(&one); });
    for (abi::UpdateSlot* update : updates) {
      luo::Change change(records_);
      change.set(update->successor, kNoProcess);
      change.set(update->old, kNoProcess);
      change.commit();
    }
  }

  const std::vector<int>& open() const { return open_; }
  size_t lost() const { return lost_; }

 private:
  void take(luo::Change& change, abi::FileSlot& slot) {
    luo::FileIdentity identity;
    Result<UniqueFd> file = one(slot, identity);
    if (file) {
      const int number = file->release();
      open_.push_back(number);
      change.set(slot.fd, int64_t{number});
      if (slot.device == 0) return;
      change.set(slot.device, identity.device);  // it is another inode now
      change.set(slot.inode, identity.inode);
      return;
    }
    const luo::Session* session = core_.sessions().at(slot.session);
    log_error("session '{}' token {:#x}: lost over the kexec: {}",
              session != nullptr ? session->name : "?", slot.token, file.error().text());
    change.set(slot.fd, int64_t{-1});
    change.set(slot.failed, uint64_t{EIO});
    ++lost_;
  }

  Result<UniqueFd> one(const abi::FileSlot& slot, luo::FileIdentity& identity) {
    const auto* session = records_.find<abi::SessionSlot>(slot.session);
    if (session == nullptr) return fail(EUCLEAN, "its session is no record");
    UniqueFd file = TRY(arrival_.file(slot.header.id));
    const struct statx now =
        TRY(sys::statx_cached(file, STATX_INO | STATX_UID | STATX_GID | STATX_MODE));
    identity = files::identity_of(now);
    TRY(machine::restore_facts(arrival_.files().at(slot.header.id), now, file));
    TRY(sys::set_cloexec(file, false));
    return file;
  }

  // Kept as a file of it until its owner fetches it: until then it is as any other that waits to be
  // claimed. It is none of the sessions that are finished: that would be the end of what is in it.
  Status take_direct(luo::Session& session) {
    // From the kexec before, never fetched, and lost: said with the files.
    if (session.files.find(abi::kDirectToken) != nullptr) return {};
    Result<UniqueFd> kernel = arrival_.take_session(session.slot->header.id);
    luo::Change change(records_);
    change.set(session.slot->flags, session.slot->flags & ~abi::kSessionHandedOver);
    if (!kernel) {
      change.commit();
      return kernel.error();
    }
    const luo::NewFile file{abi::kDirectToken, *kernel};
    auto preserving = TRY(core_.files().preserve(change, session, std::span(&file, 1)));
    change.commit();
    preserving.committed();
    open_.push_back(kernel->release());
    FAULT_POINT("daemon.arrival.direct");
    return {};
  }

  luo::Core& core_;
  luo::Records& records_;
  machine::Arrival& arrival_;
  machine::Control& control_;
  std::vector<int> open_;
  size_t lost_ = 0;
};

// What only this side knows of the time in between, in the timeline of each service's update.
void note_times(luo::Core& core, const machine::Arrival& arrival, uint64_t started_ns) {
  const uint64_t to_steady = system_clock().steady_ns() - system_clock().now_ns();
  const uint64_t now = system_clock().steady_ns();
  const uint64_t last = arrival.written_steady_ns();
  const uint64_t boot = steady_offset_ns();  // the kernel's clocks began; not before `last`
  const uint64_t started = started_ns + to_steady;
  core.records().for_each<abi::UpdateSlot>([&](abi::UpdateSlot& slot) {
    luo::Timeline line(core.records().arena(), slot.timeline);
    if (!line.is_open(abi::kTimelineKexec, abi::kTimelineWrite)) return;
    line.end(abi::kTimelineKexec, abi::kTimelineWrite, last);
    const auto before = line.entries();
    const bool by_manager = std::ranges::any_of(
        before, [](const auto& one) { return one.what == abi::kTimelineManager; });
    if (!by_manager) line.point(abi::kTimelineKexec, "reboot(2)", last);
    line.end(line.begin("kernel", by_manager ? "all is stopped, kexec" : "kexec", last), started);
    line.end(line.begin("kernel", "boot", boot), started);
    line.end(line.begin("outlived", "retrieve", started), now);
    line.begin("outlived", "attach", now);
  });
}

Result<Adopted> settle(BorrowedFd arena, machine::Arrival& arrival, machine::Control& control,
                       KernelStore& store, const BootId& boot) {
  const std::unique_ptr<ImageCore> image = TRY(ImageCore::attach(arena));
  luo::Core& core = image->core();
  core.updates().kexec_arrived();
  TRY(gather(core, arrival, store));
  FAULT_POINT("daemon.arrival.kept");
  Settling settling(core, arrival, control);
  settling.files();
  settling.processes();
  note_times(core, arrival, machine::load_word(control.block().started_ns));
  // From here on it is no other boot's, for whoever finds it in the fd store (other_boot.h).
  note_boot(core.records(), boot);
  const uint64_t epoch = core.records().root().fd_epoch;
  const NewTableReport table = enter_new_table(core, settling.open(), {}, epoch, system_clock());
  log_notice(
      "through a kexec: {} sessions, {} files ({} lost), {} connections lost; live update number "
      "{}; the kernel's part took {} ms",
      core.sessions().size(), core.records().count(abi::PoolKind::kFile), settling.lost(),
      table.connections_lost, core.records().root().live_update_number,
      arrival.gone_ns(system_clock()) / 1'000'000);
  return Adopted(core);
}

// Not valid: it isn't outlived's.
BorrowedFd device_of(const machine::Control& control) {
  const uint64_t word = machine::load_word(control.block().liveupdate_fd);
  return word != 0 ? BorrowedFd(static_cast<int>(word)) : BorrowedFd();
}

class Taking {
 public:
  Taking(WorkerInput& input, machine::WorkerContext& context)
      : input_(input),
        context_(context),
        control_(context.control),
        device_(device_of(control_)),
        store_(input.fd_store, control_) {}

  // "": it is done; else why it is refused.
  std::string run() {
    const Status taken = take();
    if (taken) return {};
    const std::string why =
        missing_ ? fmt::format(
                       "nothing of outlived's came through the kexec: the kernel has no "
                       "session '{}', but {}",
                       abi::kCarrySession, input_.awaited.text())
                 : "what came through the kexec can't be read: " + taken.error().text();
    return why + machine::log_text(machine::liveupdate_log());
  }

 private:
  Status take() {
    if (state() == abi::ArrivalState::kPending) TRY(settle_all());
    if (state() == abi::ArrivalState::kSettled) {
      FAULT_POINT("daemon.arrival.settled");
      if (input_.fd_store && !input_.inherits) TRY(store_adopted());
      if (!settled_) settled_ = machine::Arrival::let_go_before(device_);
      TRY(settled_->finish());
      FAULT_POINT("daemon.arrival.finished");
      store_.drop(adopted_ ? adopted_->direct : std::vector<FdStore::Named>());
      FAULT_POINT("daemon.arrival.dropped");
    }
    enter(abi::ArrivalState::kNone);
    return {};
  }
  abi::ArrivalState state() const {
    return static_cast<abi::ArrivalState>(machine::load_word(control_.block().arrival));
  }
  void enter(abi::ArrivalState state) {
    machine::store_word(control_.block().arrival, static_cast<uint64_t>(state));
  }

  Status settle_all() {
    // To the end of this process if it can't be read: it is held.
    static std::optional<machine::Arrival> arrival;
    arrival = TRY(machine::Arrival::claim(device_));
    if (!arrival) {
      missing_ = input_.awaited.is_due();
      if (missing_) return fail(ENOENT, "{}", abi::kCarrySession);
      note_strange_state();
      return {};
    }
    if (context_.start_number != 1) TRY(close_others(*arrival));
    store_.keep({abi::kStoreKernelSession, arrival->own()});
    static_cast<void>(store_.settled());
    FAULT_POINT("daemon.arrival.claimed");
    TRY(arrival->read());
    take_over_steady_offset(arrival->steady_offset_ns(system_clock()));
    machine::store_word(control_.block().steady_offset_ns, steady_offset_ns());
    const UniqueFd arena = TRY(whole_arena(*arrival));
    adopted_ = TRY(settle(arena, *arrival, control_, store_, input_.boot));
    FAULT_POINT("daemon.arrival.arena");
    TRY(sys::dup3(arena, input_.arena.get(), 0));
    TRY(arrival->let_go());
    enter(abi::ArrivalState::kSettled);
    settled_ = std::exchange(arrival, std::nullopt);
    return {};
  }

  // Before the kernel forgets it.
  Status store_adopted() {
    if (!adopted_) {
      const std::unique_ptr<ImageCore> image = TRY(ImageCore::attach(input_.arena));
      adopted_ = Adopted(image->core());
    }
    std::vector<FdStore::Named> kept = adopted_->files;
    kept.push_back({kStoreDevice, input_.device_listener});
    kept.push_back({kStoreControl, input_.control_listener});
    if (store_.keep_adopted(kept, input_.arena)) {
      machine::store_word(control_.block().store_mark, adopted_->committed);
    }
    FAULT_POINT("daemon.arrival.stored");
    return {};
  }

  // Also at every later start on this kernel: what came was adopted, and is the kernel's no more.
  void note_strange_state() {
    const std::string line = machine::handed_on(machine::liveupdate_log());
    if (line.empty()) return;
    input_.machine +=
        "; the kernel before handed something on, nothing of it is outlived's: " + line;
  }

  // What a worker that was killed while it did this had opened.
  Status close_others(const machine::Arrival& arrival) {
    std::vector<BorrowedFd> named = control_.held_fds();
    for (const auto& more : {input_.fds(), arrival.fds()}) {
      named.insert(named.end(), more.begin(), more.end());
    }
    for (const int fd : input_.inherited) named.push_back(BorrowedFd(fd));
    std::ranges::sort(named);
    const auto closed =
        TRY(machine::close_orphans(named, BorrowedFd(3), [](auto) { return false; }));
    log_notice("what came through a kexec is taken once more: {} descriptors were left behind",
               closed.closed);
    return {};
  }

  WorkerInput& input_;
  machine::WorkerContext& context_;
  machine::Control& control_;
  BorrowedFd device_;
  bool missing_ = false;
  std::optional<machine::Arrival> settled_;  // by this process
  KernelStore store_;
  std::optional<Adopted> adopted_;
};

}  // namespace

void take_arrival(WorkerInput& input, machine::WorkerContext& context) {
  abi::ControlBlock& block = context.control.block();
  // Of whoever has settled it: this process is no clone of that one.
  if (const uint64_t offset = machine::load_word(block.steady_offset_ns); offset != 0) {
    take_over_steady_offset(offset);
  }
  if (context.hold || machine::load_word(block.arrival) == 0) return;
  if (context.undecided) {
    if (!machine::Takeover(context.control).commit()) {
      machine::Takeover(context.control).give_reason("the old binary goes on");
      ::_exit(EXIT_FAILURE);
    }
    context.undecided = false;
  }
  const std::string why = Taking(input, context).run();
  if (!why.empty()) input.machine_refused = why;
}

void forget_arrival(const WorkerInput& input, machine::Control& control) {
  machine::store_word(control.block().arrival, static_cast<uint64_t>(abi::ArrivalState::kNone));
  KernelStore store(input.fd_store, control);
  store.drop({});
  static_cast<void>(store.settled());  // this process may be about to end
}

}  // namespace outlive::daemon
