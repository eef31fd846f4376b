#include "daemon/inheritance.h"

#include <string.h>
#include <unistd.h>

#include "abi/kho.h"
#include "base/clock.h"
#include "base/log.h"
#include "daemon/saved_image.h"

namespace outlive::daemon {
namespace {

constexpr off_t kEpochAt = offsetof(abi::ArenaHeader, epoch);

}  // namespace

bool is_blank(BorrowedFd arena) {
  abi::ArenaHeader header{};
  const ssize_t got = ::pread(arena.get(), &header, sizeof header, 0);
  static constexpr abi::ArenaHeader kBlank{};
  return got == sizeof header &&
         memcmp(header.compatible, kBlank.compatible, sizeof header.compatible) == 0;
}

EpochKept::EpochKept(BorrowedFd arena) : arena_(arena) {
  known_ = ::pread(arena.get(), &epoch_, sizeof epoch_, kEpochAt) == sizeof epoch_;
}

void EpochKept::put_back() const {
  if (known_ && ::pwrite(arena_.get(), &epoch_, sizeof epoch_, kEpochAt) != sizeof epoch_) {
    log_warning("the arena's epoch: {}", errno_name(errno));
  }
}

bool make_way(BorrowedFd arena, const std::string& state_dir, machine::Control& control) {
  const auto beat = [&] { control.beat(system_clock().now_ns()); };
  const Result<std::string> saved =
      save_image(arena, state_dir, system_clock().realtime_ns(), beat);
  if (!saved) {
    log_error("on-incoming-failure = fresh: the refused state can't be saved, so it is held: {}",
              saved.error().text());
    return false;
  }
  if (const Status cleared = clear_arena(arena); !cleared) {
    log_error("on-incoming-failure = fresh: {}", cleared.error().text());
    return false;
  }
  log_error(
      "on-incoming-failure = fresh: the refused state is saved in {}, outlived starts empty; "
      "what it held open can't be saved and is closed",
      *saved);
  return true;
}

}  // namespace outlive::daemon
