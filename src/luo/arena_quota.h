// The quota of the arena's bytes: what each user's sessions, files, subtrees, services and kept
// updates take of it, and whether more fits. Nothing is counted here: it follows from what the
// others count, so it can't drift; fsck compares it with a walk over the records (usage.h).
//
// Not charged: connections, which have a quota of their own (who is at the limit must be able to
// connect, to make room), and what is of no user.
// Locks: none, one thread.
#pragma once

#include "luo/client_subtree.h"
#include "luo/file_set.h"
#include "luo/service.h"

namespace outlive::luo {

class ArenaQuota {
 public:
  ArenaQuota(Context& context, Sessions& sessions, Files& files, ClientSubtrees& subtrees,
             Services& services)
      : context_(context),
        sessions_(sessions),
        files_(files),
        subtrees_(subtrees),
        services_(services) {}
  // EDQUOT, with what is in force: so many bytes more would be over the limit.
  Status room(uint64_t uid, uint64_t more) const;
  // What is charged, and the most that may be.
  uint64_t bytes_of(uint64_t uid) const;
  uint64_t limit_of(uint64_t uid) const;

 private:
  Context& context_;
  Sessions& sessions_;
  Files& files_;
  ClientSubtrees& subtrees_;
  Services& services_;
};

}  // namespace outlive::luo
