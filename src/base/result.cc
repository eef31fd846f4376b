#include "base/result.h"

#include <string.h>

namespace outlive {

std::string errno_name(int code) {
  if (const char* name = strerrorname_np(code)) return name;
  return fmt::format("errno {}", code);
}

std::string Error::text() const {
  return fmt::format("{} ({})", message, errno_name(code));
}

Error fail_errno(std::string_view what) {
  const int code = errno;
  return Error{code,
               fmt::format("{}: {}", what, strerrordesc_np(code) ? strerrordesc_np(code) : "?")};
}

}  // namespace outlive
