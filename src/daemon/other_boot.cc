#include "daemon/other_boot.h"

#include <algorithm>
#include <charconv>

#include "base/log.h"
#include "base/sys.h"
#include "daemon/fd_store.h"
#include "kho/image_copy.h"

namespace outlive::daemon {
namespace {

Result<BootId> boot_of(BorrowedFd arena_file) {
  const UniqueFd copy = TRY(kho::private_copy(arena_file));
  const auto arena = TRY(kho::Arena::attach(copy));
  kho::RootFdt fdt(*arena);
  const auto records = TRY(luo::Records::attach(*arena, fdt));
  return BootId{records->root().boot_id[0], records->root().boot_id[1]};
}

void drop(UniqueFd& fd, const std::string& name) {
  if (!fd.valid()) return;
  static_cast<void>(notify_manager(remove_text(name)));
  fd.reset();
}

}  // namespace

BootId this_boot() {
  BootId id{};
  Result<std::string> text = sys::read_file("/proc/sys/kernel/random/boot_id", 64);
  if (!text) return id;
  std::erase_if(*text, [](char c) { return c == '-' || c == '\n'; });
  if (text->size() != 32) return id;
  for (size_t i = 0; i < id.size(); ++i) {
    const char* begin = text->data() + 16 * i;
    std::from_chars(begin, begin + 16, id[i], 16);
  }
  return id;
}

void note_boot(luo::Records& records, const BootId& boot) {
  uint64_t(&noted)[2] = records.root().boot_id;
  if (std::ranges::equal(noted, boot)) return;
  luo::Change change(records);
  for (size_t i = 0; i < boot.size(); ++i) change.set(noted[i], boot[i]);
  change.commit();
}

Result<StoredFds> take_of_this_boot() {
  StoredFds stored = TRY(StoredFds::take());
  if (!stored.arena) return stored;
  const Result<BootId> its = boot_of(stored.arena);
  // Zeros: of a version that didn't note it.
  if (!its || *its == BootId{} || *its == this_boot()) return stored;
  log_error(
      "the fd store has an arena of another boot, and {} of what it held: it didn't come by "
      "`outlive kexec`, so it is dropped, and outlived starts empty",
      stored.placed.size());
  drop(stored.arena, kStoreArena);
  drop(stored.device_listener, kStoreDevice);
  drop(stored.control_listener, kStoreControl);
  for (const int number : std::exchange(stored.placed, {})) {
    UniqueFd fd(number);
    drop(fd, stored_name(BorrowedFd(number)));
  }
  return stored;
}

}  // namespace outlive::daemon
