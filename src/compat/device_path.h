// Whether a path that a program names is /dev/liveupdate.
//
// By its last component, then by what folder the rest leads to: /dev//liveupdate,
// ../dev/liveupdate, "liveupdate" in /dev or beside a descriptor of /dev. A link of another name
// that leads there isn't followed.
#pragma once

#include "compat/caller.h"

namespace outlive::compat {

inline constexpr char kDevicePath[] = "/dev/liveupdate";

// `directory`: a descriptor of the caller, or AT_FDCWD.
bool names_device(const Caller& caller, int directory, const std::string& path);

}  // namespace outlive::compat
