#include "daemon/refusal_log.h"

#include "base/log.h"

namespace outlive::daemon {
namespace {
constexpr uint64_t kBetweenNs = 1'000'000'000;
}

void RefusalLog::refused(uint64_t uid, uint64_t now_ns, std::string_view what) {
  User& user = users_[uid];
  if (now_ns < user.next_ns) {
    ++user.left_out;
    return;
  }
  if (user.left_out == 0) {
    log_warning("uid {}: refused: {}", uid, what);
  } else {
    log_warning("uid {}: refused: {} (and {} more since the last such line)", uid, what,
                user.left_out);
  }
  user = {now_ns + kBetweenNs, 0};
}

}  // namespace outlive::daemon
