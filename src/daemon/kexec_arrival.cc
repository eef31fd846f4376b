#include "daemon/kexec_arrival.h"

#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "abi/kho.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/sys.h"
#include "daemon/image_core.h"
#include "daemon/new_table.h"
#include "kho/image_copy.h"
#include "machine/kernel/carry.h"
#include "machine/process/fd_table.h"

namespace outlive::daemon {
namespace {

constexpr abi::ProcessWords kNoProcess{0, -1, 0, 0, -1, -1};

// As large as the arena was: what came is its beginning.
Result<UniqueFd> whole_arena(BorrowedFd image) {
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
  TRY(kho::copy_into(image, arena));
  return arena;
}

class Settling {
 public:
  Settling(luo::Core& core, machine::Arrival& arrival)
      : core_(core), records_(core.records()), arrival_(arrival) {}

  void files() {
    std::vector<abi::FileSlot*> slots;
    records_.for_each<abi::FileSlot>([&](abi::FileSlot& slot) { slots.push_back(&slot); });
    for (abi::FileSlot* slot : slots) {
      Result<UniqueFd> file = one(*slot);
      luo::Change change(records_);
      if (file) {
        const int number = file->release();
        open_.push_back(number);
        change.set(slot->fd, int64_t{number});
      } else {
        const luo::Session* session = core_.sessions().at(slot->session);
        log_error("session '{}' token {:#x}: lost over the kexec: {}",
                  session != nullptr ? session->name : "?", slot->token, file.error().text());
        change.set(slot->fd, int64_t{-1});
        change.set(slot->failed, uint64_t{EIO});
        ++lost_;
      }
      change.commit();
      if (file) identify(*slot);
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
  Result<UniqueFd> one(const abi::FileSlot& slot) {
    const auto* session = records_.find<abi::SessionSlot>(slot.session);
    if (session == nullptr) return fail(EUCLEAN, "its session is no record");
    UniqueFd file = TRY(arrival_.file(session->header.id, slot.token));
    const auto facts = arrival_.files().find(slot.header.id);
    if (facts != arrival_.files().end()) TRY(machine::restore_facts(facts->second, file));
    TRY(sys::set_cloexec(file, false));
    return file;
  }

  // Kept as a file of it until its owner fetches it: until then it is as any other that waits to be
  // claimed.
  Status take_direct(luo::Session& session) {
    luo::Change change(records_);
    change.set(session.slot->flags, session.slot->flags & ~abi::kSessionHandedOver);
    UniqueFd kernel = TRY(arrival_.session(session.slot->header.id));
    TRY(sys::set_cloexec(kernel, false));
    const luo::NewFile file{abi::kDirectToken, kernel};
    auto preserving = TRY(core_.files().preserve(change, session, std::span(&file, 1)));
    change.commit();
    preserving.committed();
    open_.push_back(kernel.release());
    return {};
  }

  // It is another inode now.
  void identify(abi::FileSlot& slot) {
    if (slot.device == 0) return;
    const auto facts = core_.context().classify_to_preserve(BorrowedFd(static_cast<int>(slot.fd)));
    if (!facts) return;  // the worker's attach says so
    luo::Change change(records_);
    change.set(slot.device, facts->device);
    change.set(slot.inode, facts->inode);
    change.commit();
  }

  luo::Core& core_;
  luo::Records& records_;
  machine::Arrival& arrival_;
  std::vector<int> open_;
  size_t lost_ = 0;
};

Status settle(BorrowedFd arena, machine::Arrival& arrival) {
  const std::unique_ptr<ImageCore> image = TRY(ImageCore::attach(arena));
  luo::Core& core = image->core();
  core.updates().kexec_arrived();
  Settling settling(core, arrival);
  settling.files();
  settling.processes();
  const uint64_t epoch = core.records().root().fd_epoch;
  const NewTableReport table = enter_new_table(core, settling.open(), epoch, system_clock());
  log_notice(
      "through a kexec: {} sessions, {} files ({} lost), {} connections lost; live update number "
      "{}; the kernel's part took {} ms",
      core.sessions().size(), core.records().count(abi::PoolKind::kFile), settling.lost(),
      table.connections_lost, core.records().root().live_update_number,
      (system_clock().realtime_ns() - arrival.written_ns()) / 1'000'000);
  return {};
}

}  // namespace

Result<UniqueFd> take_arrival(BorrowedFd device) {
  const machine::RaisedFdLimit raised;
  // To the end of this process if it can't be read: it is held, and not closed by a worker that
  // serves nobody.
  static std::optional<machine::Arrival> arrival;
  arrival = TRY(machine::Arrival::claim(device));
  if (!arrival) return UniqueFd();
  TRY(arrival->read());
  take_over_steady_offset(arrival->steady_offset_ns(system_clock()));
  UniqueFd arena = TRY(whole_arena(arrival->image()));
  TRY(settle(arena, *arrival));
  TRY(arrival->finish());
  arrival.reset();
  return arena;
}

}  // namespace outlive::daemon
