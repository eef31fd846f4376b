// From here no UniqueFd is made or destroyed but for fds of the child's own table, and nothing
// returns: every end is _exit.
#include "machine/process/opener_child.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <string_view>

#include "base/rights.h"
#include "base/sys.h"

namespace outlive::machine {
namespace {

struct Opened {
  int error = 0;
  int fd = -1;
};

Opened open_path(const std::string& path) {
  const int fd = ::open(path.c_str(), O_PATH | O_CLOEXEC);
  return fd == -1 ? Opened{errno, -1} : Opened{0, fd};
}

std::string_view search_path(const LaunchPlan& plan) {
  constexpr std::string_view kVariable = "PATH=";
  for (const std::string& one : plan.env) {
    if (one.starts_with(kVariable) && one.size() > kVariable.size()) {
      return std::string_view(one).substr(kVariable.size());
    }
  }
  return "/usr/local/bin:/usr/bin:/bin";
}

// As execvp(3) would find it: the first that may be executed; an empty entry is this folder.
Opened search(const LaunchPlan& plan) {
  const std::string_view folders = search_path(plan);
  for (size_t at = 0; at <= folders.size();) {
    const size_t end = std::min(folders.find(':', at), folders.size());
    const std::string folder(end == at ? "." : folders.substr(at, end - at));
    const std::string candidate = folder + "/" + plan.program;
    if (::access(candidate.c_str(), X_OK) == 0) {
      const Opened opened = open_path(candidate);
      if (opened.error == 0) return opened;
    }
    at = end + 1;
  }
  return {ENOENT, -1};
}

Opened bind_to(const std::string& path) {
  const Result<sys::UnixAddress> address = sys::unix_address(path);
  if (!address) return {address.error().code, -1};
  const auto* name = reinterpret_cast<const sockaddr*>(&address->address);
  return {::bind(kOpenerSocket, name, address->length) == 0 ? 0 : errno, -1};
}

Opened carry_out(const LaunchPlan& plan) {
  if (::chdir(plan.cwd.c_str()) != 0) return {errno, -1};
  if (plan.argv[0] == kBinds) return bind_to(plan.program);
  return plan.program.find('/') == std::string::npos ? search(plan) : open_path(plan.program);
}

bool answer(const Opened& opened) {
  int32_t error = opened.error;
  iovec bytes{&error, sizeof error};
  RightsRoom<1> room;
  msghdr message{};
  message.msg_iov = &bytes;
  message.msg_iovlen = 1;
  const BorrowedFd fd(opened.fd);
  put_rights({&fd, opened.fd != -1 ? size_t{1} : 0}, room.bytes, message);
  return ::sendmsg(kOpenerChannel, &message, MSG_NOSIGNAL) != -1;
}

}  // namespace

void open_for_worker(const LaunchPlan& plan) {
  ::prctl(PR_SET_NAME, "outlived-opener");
  ::_exit(answer(carry_out(plan)) ? 0 : 1);
}

}  // namespace outlive::machine
