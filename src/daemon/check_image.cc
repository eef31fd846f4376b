#include "daemon/check_image.h"

#include <stdio.h>

#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "base/sys.h"
#include "files/classify.h"
#include "files/registry_defaults.h"
#include "kho/arena.h"
#include "luo/core.h"
#include "luo/no_updates.h"

namespace outlive::daemon {
namespace {

Result<UniqueFd> copy_of(const std::string& path) {
  const UniqueFd from = TRY(sys::open(path, O_RDONLY));
  const struct stat facts = TRY(sys::fstat(from));
  UniqueFd copy = TRY(kho::Arena::create_file(static_cast<uint64_t>(facts.st_size)));
  std::vector<std::byte> buffer(1 << 20);
  for (uint64_t at = 0;;) {
    const size_t got = TRY(sys::read(from, buffer));
    if (got == 0) return copy;
    if (::pwrite(copy.get(), buffer.data(), got, static_cast<off_t>(at)) !=
        static_cast<ssize_t>(got)) {
      return fail_errno("a copy of the image");
    }
    at += got;
  }
}

Status check(BorrowedFd file) {
  const auto arena = TRY(kho::Arena::attach(file));
  std::vector<std::unique_ptr<luo::FileHandler>> handlers;
  files::register_default_handlers(handlers);
  luo::Context context;
  context.handlers = &handlers;
  context.clock = &system_clock();
  context.classify = files::classify;
  context.classify_to_preserve = files::classify_to_preserve;
  context.release = [](BorrowedFd) {};
  luo::NoUpdates host;
  TRY(luo::Core::attach(*arena, context, host));
  return {};
}

}  // namespace

Result<int> check_image(const std::string& path) {
  const UniqueFd copy = TRY(copy_of(path).context("image"));
  if (const Status good = check(copy); !good) {
    log_error("The incoming tree failed to initialize properly [{}], disabling live update",
              errno_name(good.error().code));
    log_error("{}: {}", path, good.error().message);
    return kExitRefused;
  }
  printf("%s: clean\n", path.c_str());
  return 0;
}

}  // namespace outlive::daemon
