#include "luo/finish_check.h"

#include <unordered_map>

#include "base/fault.h"

namespace outlive::luo {
namespace {

// What a record's address is named by, how often.
using Counts = std::unordered_map<uint64_t, uint64_t>;

uint64_t count_of(const Counts& counts, uint64_t address) {
  const auto found = counts.find(address);
  return found == counts.end() ? 0 : found->second;
}

Status check_sessions(Sessions& sessions, const Counts& files, uint64_t service) {
  Status status;
  sessions.for_each([&](Session& session) {
    if (session.slot->service != service || !status) return;
    const bool internal = (session.slot->flags & abi::kSessionInternal) != 0;
    const uint64_t recorded = count_of(files, session.address);
    if (!internal && sessions.direction(session) == Direction::kIncoming) {
      status = fail(EUCLEAN, "session '{}' is still incoming", session.name);
    } else if (recorded != session.files.size()) {
      status = fail(EUCLEAN, "session '{}': {} files are recorded, {} are known", session.name,
                    recorded, session.files.size());
    }
  });
  return status;
}

Status check_flbs(Records& records, const Flbs& flbs, const Counts& holders) {
  Status status;
  records.for_each<abi::FlbSlot>([&](abi::FlbSlot& slot) {
    if (!status) return;
    const uint64_t address = records.address_of(&slot);
    const uint64_t held = count_of(holders, address);
    if (held != 0 && held == flbs.holders(address)) return;
    status = fail(EUCLEAN, "global state '{}': {} files hold it, {} are counted", slot.compatible,
                  held, flbs.holders(address));
  });
  return status;
}

}  // namespace

Status check_finished(Context& context, Sessions& sessions, const Flbs& flbs, uint64_t service) {
  if (const int code = fault("luo.finish")) return fail(code, "injected");
  Counts files;
  Counts holders;
  Status status;
  context.records->for_each<abi::FileSlot>([&](abi::FileSlot& slot) {
    ++files[slot.session];
    if (slot.flb != 0) ++holders[slot.flb];
    if (status && sessions.at(slot.session) == nullptr) {
      status = fail(EUCLEAN, "file {:#x} (fd {}) is of no session", slot.token, slot.fd);
    }
  });
  TRY(std::move(status));
  TRY(check_sessions(sessions, files, service));
  return check_flbs(*context.records, flbs, holders);
}

}  // namespace outlive::luo
