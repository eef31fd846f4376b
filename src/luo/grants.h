// Grants: names of one owner's sessions that other users may see, retrieve and end as if they were
// their own. The configuration's ([grant.NAME] in outlive.toml(5)); nothing of it is in the arena.
//
// A grant gives a way to a session, it moves nothing: the session stays its owner's and is charged
// to its owner. Names of outlived's own ('@' first) are never granted, by no prefix.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "luo/caller.h"

namespace outlive::luo {

struct Grant {
  std::string name;        // whole, or how it starts
  bool is_prefix = false;  // "NAME*"
  uint64_t owner = 0;
  std::vector<uint64_t> uids;
  std::vector<uint64_t> gids;  // primary or supplementary

  bool is_for(const Caller& caller) const;
  bool covers(std::string_view session) const;
};

// "NAME", or "PREFIX*"; a lone "*" is every name. EINVAL: no name of a client's session can be it.
Status parse_granted_name(std::string_view text, Grant& into);

class Grants {
 public:
  void add(Grant grant);
  bool allows(const Caller& caller, uint64_t owner, std::string_view session) const;
  // Whose sessions of this name the caller may have: a whole name before a prefix, a longer prefix
  // before a shorter one.
  std::vector<uint64_t> owners(const Caller& caller, std::string_view session) const;

 private:
  std::vector<Grant> all_;  // in that order
};

}  // namespace outlive::luo
