#include "machine/kernel/open_sessions.h"

#include <stdlib.h>

#include <filesystem>

#include "base/result.h"
#include "base/sys.h"

namespace outlive::machine {
namespace {

constexpr std::string_view kLink = "anon_inode:[luo_session] ";

}  // namespace

std::string session_of_link(const std::string& link) {
  return link.starts_with(kLink) ? link.substr(kLink.size()) : std::string();
}

std::map<std::string, BorrowedFd> open_sessions() {
  std::map<std::string, BorrowedFd> sessions;
  std::error_code error;
  for (std::filesystem::directory_iterator at("/proc/self/fd", error), end; !error && at != end;
       at.increment(error)) {
    const Result<std::string> link = sys::readlink(at->path());
    const std::string name = link ? session_of_link(*link) : std::string();
    if (!name.empty()) sessions.emplace(name, BorrowedFd(atoi(at->path().filename().c_str())));
  }
  return sessions;
}

}  // namespace outlive::machine
