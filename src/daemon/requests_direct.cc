// Direct sessions: what only the kernel can preserve (vfio, iommufd, kvm) is preserved by its
// owner, in a session of the kernel's own. outlived makes that one, and hands over its only fd.
//
// Happy path:   CREATE_SESSION with kFlagDirect -> KERNEL_SESSION -> the client's ioctls -> kexec
//               -> it is a file of the session that waits to be claimed (kexec_arrival.h) ->
//               RETRIEVE_SESSION -> KERNEL_SESSION -> the client's ioctls.
// Unhappy path: what is made and not recorded yet is an orphan, which ends with outlived's worker,
//               empty as it is. What came through a kexec is never only an orphan: its record names
//               it until the reply's does, as of one commit.
// No copy:      one of ours would keep the kernel's session from ending with the client's. After
//               the reply outlived has none, so there is nothing to hand out again: no lease.
#include <fcntl.h>

#include <algorithm>

#include "base/log.h"
#include "base/sys.h"
#include "daemon/device.h"
#include "daemon/requests.h"
#include "machine/kernel/carry.h"
#include "wire/body.h"

namespace outlive::daemon {
namespace {

constexpr uint64_t kProbeNs = 500'000'000;
constexpr size_t kMostProbes = 32;  // each is a walk over the kernel's sessions

// As all that is held for clients: without CLOEXEC, an update of outlived may come before the
// reply.
Result<UniqueFd> copy_of(BorrowedFd fd) {
  const int number = ::fcntl(fd.get(), F_DUPFD, 3);
  if (number < 0) return fail_errno("dup");
  return UniqueFd(number);
}

}  // namespace

bool Requests::is_for_plain(abi::Request request) {
  switch (request) {
    case abi::Request::kPreserveFd:
    case abi::Request::kPreserveMany:
    case abi::Request::kUnpreserveFd:
    case abi::Request::kUnpreserveMany:
    case abi::Request::kRetrieveFd:
    case abi::Request::kRetrieveMany:
    case abi::Request::kAdopt:
      return true;
    default:
      return false;
  }
}

Status Requests::direct_possible() const {
  if (machine::load_word(parts_.control.block().liveupdate_fd) != 0) return {};
  return fail(EOPNOTSUPP,
              "direct sessions are the kernel's, and outlived has no /dev/liveupdate; machine: {}",
              parts_.machine);
}

// The kernel has no list: but a name is there once.
bool Requests::is_in_kernel(const luo::Session& session) const {
  const uint64_t device = machine::load_word(parts_.control.block().liveupdate_fd);
  const bool outgoing = parts_.core.sessions().direction(session) == luo::Direction::kOutgoing;
  if (device == 0 || !outgoing || !(session.slot->flags & abi::kSessionHandedOver)) return false;
  const auto made = machine::create_session(BorrowedFd(static_cast<int>(device)),
                                            machine::kernel_session_name(session.slot->header.id));
  return !made && made.error().code == EEXIST;
}

bool Requests::let_go_direct(luo::Session& session) {
  if (!luo::is_direct(session) || session.files.size() != 0) return false;
  if (is_in_kernel(session)) {
    left_direct_.push_back(session.address);
    return true;
  }
  const Status ended = parts_.core.end_session(session, false);
  if (!ended) log_warning("session '{}': {}", session.name, ended.error().message);
  return true;
}

void Requests::end_gone_direct() {
  if (left_direct_.empty() || parts_.now() < next_direct_ns_) return;
  next_direct_ns_ = parts_.now() + kProbeNs;
  for (size_t left = std::min(left_direct_.size(), kMostProbes); left > 0; --left) {
    luo::Session* session = parts_.core.sessions().at(left_direct_.front());
    left_direct_.pop_front();
    if (session != nullptr && session->holders.empty()) let_go_direct(*session);
  }
}

Result<Outcome> Requests::kernel_session(Connection& connection, wire::Message& message) {
  TRY(wire::read_body<abi::SizeOnly>(message.body));
  luo::Session* session = TRY(known_session(connection));
  if (!luo::is_direct(*session)) return fail(EINVAL, "session '{}' is not direct", session->name);
  abi::FileSlot* arrived = session->files.find(abi::kDirectToken);
  UniqueFd fd;
  if (arrived != nullptr) {
    if (arrived->fd < 0) return fail(EIO, "session '{}': the kernel's was lost", session->name);
    fd = TRY(copy_of(BorrowedFd(static_cast<int>(arrived->fd))));
  } else if (session->slot->flags & abi::kSessionHandedOver) {
    return fail(EINVAL, "session '{}': the kernel's was handed over, and there is no copy",
                session->name);
  } else if (parts_.core.sessions().direction(*session) == luo::Direction::kIncoming) {
    return fail(ENOENT, "session '{}': the kernel's did not come through the kexec", session->name);
  } else {
    TRY(direct_possible());
    const uint64_t device = machine::load_word(parts_.control.block().liveupdate_fd);
    machine::KernelSession made =
        TRY(machine::create_session(BorrowedFd(static_cast<int>(device)),
                                    machine::kernel_session_name(session->slot->header.id)));
    fd = made.take();
    TRY(sys::set_cloexec(fd, false));
  }
  if (parts_.in_reserve(fd, connection.slot->uid)) {
    return fail(EMFILE, "outlived's table of {} descriptors is full", parts_.fd_limit);
  }
  luo::Change change(parts_.records());
  change.set(session->slot->flags, session->slot->flags | abi::kSessionHandedOver);
  luo::Files::Removing removing;
  if (arrived != nullptr) removing = parts_.core.files().remove(change, *session, {arrived}, true);
  device_.record_reply(change, connection, message.header.sequence, 0, fd.get());
  change.commit();
  if (arrived != nullptr) removing.committed();
  Outcome outcome = echo(message);
  outcome.fds.emplace_back(fd.release());
  return outcome;
}

}  // namespace outlive::daemon
