#include "luo/grants.h"

#include <algorithm>
#include <tuple>

#include "luo/session.h"

namespace outlive::luo {
namespace {

bool contains(const std::vector<uint64_t>& list, uint64_t id) {
  return std::find(list.begin(), list.end(), id) != list.end();
}

}  // namespace

bool Grant::is_for(const Caller& caller) const {
  if (contains(uids, caller.uid)) return true;
  if (gids.empty()) return false;
  if (contains(gids, caller.gid)) return true;
  return caller.groups != nullptr &&
         std::any_of(caller.groups->begin(), caller.groups->end(),
                     [this](uint64_t group) { return contains(gids, group); });
}

bool Grant::covers(std::string_view session) const {
  if (session.starts_with('@')) return false;
  return is_prefix ? session.starts_with(name) : session == name;
}

Status parse_granted_name(std::string_view text, Grant& into) {
  into.is_prefix = text.ends_with('*');
  if (into.is_prefix) text.remove_suffix(1);
  if (text.starts_with('@')) return fail(EINVAL, "names with @ are outlived's own");
  if (!into.is_prefix || !text.empty()) TRY(check_name(text));
  into.name = text;
  return {};
}

void Grants::add(Grant grant) {
  const auto before = [](const Grant& a, const Grant& b) {
    return std::tuple(a.is_prefix, b.name.size()) < std::tuple(b.is_prefix, a.name.size());
  };
  all_.insert(std::upper_bound(all_.begin(), all_.end(), grant, before), std::move(grant));
}

bool Grants::allows(const Caller& caller, uint64_t owner, std::string_view session) const {
  return std::any_of(all_.begin(), all_.end(), [&](const Grant& one) {
    return one.owner == owner && one.covers(session) && one.is_for(caller);
  });
}

std::vector<uint64_t> Grants::owners(const Caller& caller, std::string_view session) const {
  std::vector<uint64_t> found;
  for (const Grant& one : all_) {
    if (one.covers(session) && one.is_for(caller)) found.push_back(one.owner);
  }
  return found;
}

}  // namespace outlive::luo
