#include "luo/arena_quota.h"

namespace outlive::luo {

uint64_t ArenaQuota::bytes_of(uint64_t uid) const {
  return sessions_.count_of(uid) * sizeof(abi::SessionSlot) +
         files_.count_of(uid) * sizeof(abi::FileSlot) + subtrees_.usage_of(uid).arena_bytes +
         services_.arena_bytes_of(uid);
}

uint64_t ArenaQuota::limit_of(uint64_t uid) const {
  const uint64_t configured = context_.limits_of(uid).arena_bytes;
  return configured != 0 ? configured : context_.records->arena().size() / 16;
}

Status ArenaQuota::room(uint64_t uid, uint64_t more) const {
  const uint64_t limit = limit_of(uid);
  if (limit == kNoLimit) return {};
  const uint64_t has = bytes_of(uid);
  if (has <= limit && more <= limit - has) return {};
  return fail(EDQUOT,
              "arena: uid {} has {} bytes of it, {} more are over the limit of {} "
              "(arena-bytes-per-uid, or arena-bytes of its quota)",
              uid, has, more, limit);
}

}  // namespace outlive::luo
