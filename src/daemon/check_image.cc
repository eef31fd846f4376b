#include "daemon/check_image.h"

#include <stdio.h>

#include <vector>

#include "base/log.h"
#include "base/sys.h"
#include "daemon/image_core.h"

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

}  // namespace

Result<int> check_image(const std::string& path) {
  const UniqueFd copy = TRY(copy_of(path).context("image"));
  if (const auto good = ImageCore::attach(copy); !good) {
    log_error("The incoming tree failed to initialize properly [{}], disabling live update",
              errno_name(good.error().code));
    log_error("{}: {}", path, good.error().message);
    return kExitRefused;
  }
  printf("%s: clean\n", path.c_str());
  return 0;
}

}  // namespace outlive::daemon
