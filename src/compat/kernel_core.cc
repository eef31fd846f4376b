#include "compat/kernel_core.h"

#include <sys/sysmacros.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/sys.h"
#include "compat/kernel_files.h"
#include "files/classify.h"

namespace outlive::compat {
namespace {

constexpr uint64_t kArenaBytes = 256 << 20;  // sparse
constexpr uint64_t kNoLimit = 1'000'000'000;

void close_held(BorrowedFd fd) {
  const UniqueFd held(fd.get());
}

}  // namespace

KernelCore::KernelCore(Kernel kernel) : kernel_(kernel) {
  handlers_.push_back(std::make_unique<KernelMemfd>());
}

KernelCore::~KernelCore() {
  if (core_ == nullptr) return;
  for (const BorrowedFd fd : core_->named_fds()) close_held(fd);
}

luo::Context KernelCore::context() {
  luo::Context made;
  made.handlers = &handlers_;
  made.clock = &system_clock();
  made.limits = {kNoLimit, kNoLimit, kNoLimit, kNoLimit, kNoLimit};
  made.names_are_bytes = true;
  made.classify = classify_as_kernel;
  made.classify_to_preserve = classify_as_kernel;
  made.identify = files::identify;
  made.release = close_held;
  return made;
}

Result<std::unique_ptr<KernelCore>> KernelCore::create(Kernel kernel) {
  std::unique_ptr<KernelCore> made(new KernelCore(kernel));
  made->arena_file_ = TRY(kho::Arena::create_file(kArenaBytes).context("arena"));
  made->arena_ = TRY(kho::Arena::create(made->arena_file_));
  made->core_ = TRY(luo::Core::create(*made->arena_, made->context(), made->no_updates_));
  luo::Change change(made->core_->records());
  abi::ServiceSlot* slot = TRY(made->core_->services().create(change, {}, "kernel"));
  change.commit();
  made->service_ = made->core_->services().address_of(*slot);
  return made;
}

abi::ServiceSlot& KernelCore::service() {
  return *core_->services().at(service_);
}

luo::Caller KernelCore::caller() {
  return {.service = service_, .generation = service().generation};
}

uint64_t KernelCore::number() {
  return service().generation - 1;
}

std::vector<luo::Session*> KernelCore::sessions(luo::Direction direction) {
  std::vector<luo::Session*> list;
  core_->sessions().for_each([&](luo::Session& session) {
    if (core_->sessions().direction(session) == direction) list.push_back(&session);
  });
  return list;
}

Result<std::vector<UniqueFd>> KernelCore::carry_over_all(const std::vector<abi::FileSlot*>& files) {
  std::vector<UniqueFd> made;
  made.reserve(files.size());
  for (const abi::FileSlot* slot : files) {
    UniqueFd next = TRY(carry_over(
        {BorrowedFd(static_cast<int>(slot->fd)), slot->token, slot->data, slot->size}, kernel_));
    made.push_back(std::move(next));
  }
  return made;
}

Status KernelCore::replace(const std::vector<abi::FileSlot*>& files, std::vector<UniqueFd> made) {
  for (size_t i = 0; i < files.size();) {
    luo::Change change(core_->records());
    for (; i < files.size() && change.room() > 4; ++i) {
      const struct statx stat = TRY(sys::statx_cached(made[i], STATX_INO));
      close_held(BorrowedFd(static_cast<int>(files[i]->fd)));
      change.set(files[i]->fd, int64_t{made[i].release()});
      change.set(files[i]->inode, stat.stx_ino);
      change.set(files[i]->device,
                 static_cast<uint64_t>(makedev(stat.stx_dev_major, stat.stx_dev_minor)));
    }
    change.commit();
  }
  return {};
}

Status KernelCore::kexec() {
  const std::vector<luo::Session*> outgoing = sessions(luo::Direction::kOutgoing);
  TRY(core_->files().freeze(outgoing));
  const std::vector<abi::FileSlot*> files = core_->files().ordered(outgoing);
  Result<std::vector<UniqueFd>> made = carry_over_all(files);
  if (!made) {
    core_->files().unfreeze(outgoing);
    return made.take_error();
  }
  // Beyond this point there is no way back.
  for (luo::Session* session : sessions(luo::Direction::kIncoming)) {
    TRY(core_->end_session(*session, false));
  }
  TRY(replace(files, made.take()));
  luo::Change change(core_->records());
  const uint64_t next = service().generation + 1;
  change.set(service().generation, next);
  change.set(service().outgoing_from, next);
  change.commit();
  // The next kernel knows nothing but what it finds in the arena.
  core_.reset();
  arena_.reset();
  arena_ = TRY(kho::Arena::attach(arena_file_));
  core_ = TRY(luo::Core::attach(*arena_, context(), no_updates_));
  return {};
}

}  // namespace outlive::compat
