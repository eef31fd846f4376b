// The kernel's sessions that this table of descriptors has open: a process that was killed has left
// them, and RETRIEVE_SESSION gives out each one once.
#pragma once

#include <map>
#include <string>

#include "base/unique_fd.h"

namespace outlive::machine {

// By name. By the names of the open files in /proc, as GET_NAME isn't in every kernel with LUO.
std::map<std::string, BorrowedFd> open_sessions();

// "anon_inode:[luo_session] NAME", as /proc names such an open file: NAME; "" for any other.
std::string session_of_link(const std::string& link);

}  // namespace outlive::machine
