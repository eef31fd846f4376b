#include "machine/kernel/liveupdate_device.h"

#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>

#include "abi/liveupdate.h"
#include "base/fault.h"
#include "base/sys.h"

namespace outlive::machine {
namespace {

template <typename T>
Status request(BorrowedFd fd, uint16_t number, T& argument, const char* what) {
  if (const int code = fault(what)) return fail(code, "{}: injected", what);
  argument.size = sizeof argument;
  const auto command = static_cast<unsigned long>(_IO(abi::kLiveUpdateIoctlType, number));
  int result = 0;
  do {
    result = ::ioctl(fd.get(), command, &argument);
  } while (result == -1 && errno == EINTR);
  if (result == -1) return fail_errno(what);
  return {};
}

Result<KernelSession> session(BorrowedFd device, uint16_t number, const std::string& name,
                              const char* what) {
  abi::SessionRequest named{};
  if (name.size() >= sizeof named.name) return fail(EINVAL, "'{}': too long for a session", name);
  memcpy(named.name, name.data(), name.size());
  named.fd = -1;
  TRY(request(device, number, named, what).context("'{}'", name));
  return KernelSession(UniqueFd(named.fd));
}

}  // namespace

Status KernelSession::preserve(BorrowedFd file, uint64_t token) {
  abi::FdRequest wanted{.size = 0, .fd = file.get(), .token = token};
  return request(fd_, abi::kIoctlPreserveFd, wanted, "PRESERVE_FD");
}

Result<UniqueFd> KernelSession::retrieve(uint64_t token) {
  abi::FdRequest wanted{.size = 0, .fd = -1, .token = token};
  TRY(request(fd_, abi::kIoctlRetrieveFd, wanted, "RETRIEVE_FD"));
  return UniqueFd(wanted.fd);
}

// No kernel says it, but each looks whether a request is one for this direction before it looks at
// the rest, of which there is more here than it can know.
Result<bool> KernelSession::is_incoming() const {
  struct {
    abi::FdRequest known;
    uint64_t unknown;
  } wanted{{.size = sizeof wanted, .fd = -1, .token = 0}, 1};
  const auto command =
      static_cast<unsigned long>(_IO(abi::kLiveUpdateIoctlType, abi::kIoctlRetrieveFd));
  const int code = ::ioctl(fd_.get(), command, &wanted) == 0 ? 0 : errno;
  if (code == E2BIG || code == EINVAL) return code == E2BIG;
  return fail(code, "a session's direction");
}

Status KernelSession::finish() {
  abi::FinishRequest wanted{};
  return request(fd_, abi::kIoctlFinish, wanted, "FINISH");
}

Result<UniqueFd> open_liveupdate(const std::string& path) {
  return sys::open(path, O_RDWR);
}

Result<KernelSession> create_session(BorrowedFd device, const std::string& name) {
  return session(device, abi::kIoctlCreateSession, name, "CREATE_SESSION");
}

Result<KernelSession> retrieve_session(BorrowedFd device, const std::string& name) {
  return session(device, abi::kIoctlRetrieveSession, name, "RETRIEVE_SESSION");
}

}  // namespace outlive::machine
