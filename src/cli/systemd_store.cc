#include "cli/systemd_store.h"

#include <poll.h>
#include <string.h>
#include <unistd.h>

#include <charconv>
#include <map>

#include "abi/kernel_carry.h"
#include "base/rights.h"
#include "base/sys.h"
#include "cli/program.h"

namespace outlive::cli {
namespace {

constexpr uint64_t kVersion = 261;
constexpr size_t kMostInMessage = 253;     // SCM_MAX_FD
constexpr size_t kMostNames = 128 * 1024;  // LISTEN_FDNAMES is one string of an execve(2)
constexpr int kPatienceMs = 10'000;

using Properties = std::map<std::string, std::string, std::less<>>;

Result<Properties> show(const std::vector<std::string>& units, const std::string& names) {
  std::vector<std::string> words = {"systemctl", "show"};
  words.insert(words.end(), units.begin(), units.end());
  words.push_back("--property=" + names);
  const ProgramEnd end = TRY(run_program(words));
  if (end.code != 0) return fail(EIO, "systemctl show: exit code {}", end.code);
  Properties found;
  for (size_t at = 0; at < end.out.size();) {
    const size_t stop = std::min(end.out.find('\n', at), end.out.size());
    const std::string line = end.out.substr(at, stop - at);
    at = stop + 1;
    if (const size_t equals = line.find('='); equals != std::string::npos) {
      found[line.substr(0, equals)] = line.substr(equals + 1);
    }
  }
  return found;
}

uint64_t number(const Properties& properties, std::string_view name) {
  uint64_t value = 0;
  const auto found = properties.find(name);
  if (found == properties.end()) return 0;
  std::from_chars(found->second.data(), found->second.data() + found->second.size(), value);
  return value;
}

// The last folder of its control group that is a service: it may have one of its own below.
Result<std::string> unit_of(pid_t pid) {
  const std::string text = TRY(sys::read_file(fmt::format("/proc/{}/cgroup", pid)));
  constexpr std::string_view kEnd = ".service";
  const size_t end = text.rfind(kEnd);
  if (end == std::string::npos) return fail(EOPNOTSUPP, "outlived is no service of systemd");
  const size_t begin = text.rfind('/', end) + 1;
  return text.substr(begin, end + kEnd.size() - begin);
}

struct Sender {
  std::string path;
  pid_t pid;  // in whose name
};

// Waits where systemd's queue is full.
Status notify(const Sender& sender, std::string_view text, std::span<const BorrowedFd> fds) {
  const UniqueFd socket = TRY(sys::socket(AF_UNIX, SOCK_DGRAM));
  const sys::UnixAddress address = TRY(sys::unix_address(sender.path));
  iovec part{const_cast<char*>(text.data()), text.size()};
  alignas(cmsghdr)
      std::byte room[CMSG_SPACE(sizeof(ucred)) + CMSG_SPACE(kMostInMessage * sizeof(int))] = {};
  msghdr message{};
  message.msg_name = const_cast<sockaddr_un*>(&address.address);
  message.msg_namelen = address.length;
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  constexpr size_t kOfCredentials = CMSG_SPACE(sizeof(ucred));
  put_rights(fds, std::span(room).subspan(kOfCredentials), message);
  const ucred credentials{sender.pid, ::getuid(), ::getgid()};
  auto* first = reinterpret_cast<cmsghdr*>(room);
  first->cmsg_level = SOL_SOCKET;
  first->cmsg_type = SCM_CREDENTIALS;
  first->cmsg_len = CMSG_LEN(sizeof credentials);
  memcpy(CMSG_DATA(first), &credentials, sizeof credentials);
  message.msg_control = room;
  message.msg_controllen = kOfCredentials + (fds.empty() ? 0 : message.msg_controllen);
  TRY(sys::sendmsg(socket, message, MSG_NOSIGNAL).context("{}", sender.path));
  return {};
}

// All that was sent before has been worked off: systemd closes what it was sent with it.
Status barrier(const Sender& sender) {
  sys::Pipe pipe = TRY(sys::pipe());
  const BorrowedFd end = pipe.write.borrow();
  TRY(notify(sender, "BARRIER=1", {&end, 1}));
  pipe.write.reset();
  pollfd closed{pipe.read.get(), 0, 0};
  if (::poll(&closed, 1, kPatienceMs) > 0) return {};
  return fail(ETIMEDOUT, "systemd doesn't say that it has taken the kernel's sessions");
}

}  // namespace

Result<SystemdStore> SystemdStore::find(pid_t main_process, const std::string& notify_socket) {
  if (notify_socket.empty()) return fail(EOPNOTSUPP, "outlived isn't run by a service manager");
  if (::access("/run/systemd/system", F_OK) != 0) return fail(EOPNOTSUPP, "systemd doesn't run");
  SystemdStore store;
  store.unit_ = TRY(unit_of(main_process));
  const Properties manager = TRY(show({}, "Version"));
  if (number(manager, "Version") < kVersion) {
    return fail(EOPNOTSUPP, "systemd {} doesn't carry the kernel's sessions, {} does",
                manager.contains("Version") ? manager.at("Version") : "?", kVersion);
  }
  const Properties unit = TRY(show({store.unit_},
                                   "MainPID,FileDescriptorStoreMax,FileDescriptorStorePreserve,"
                                   "NFileDescriptorStore"));
  if (number(unit, "MainPID") != static_cast<uint64_t>(main_process)) {
    return fail(EOPNOTSUPP, "systemd knows another main process of {}", store.unit_);
  }
  const auto preserve = unit.find("FileDescriptorStorePreserve");
  if (preserve == unit.end() || preserve->second != "yes") {
    return fail(EOPNOTSUPP, "{} doesn't have FileDescriptorStorePreserve=yes", store.unit_);
  }
  store.notify_socket_ = notify_socket;
  store.main_process_ = main_process;
  store.most_ = number(unit, "FileDescriptorStoreMax");
  store.stored_ = number(unit, "NFileDescriptorStore");
  return store;
}

Status SystemdStore::check_room(size_t sessions) const {
  if (stored_ + sessions > most_) {
    return fail(ENOSPC, "{} has FileDescriptorStoreMax={}: {} are stored, no room for {} sessions",
                unit_, most_, stored_, sessions);
  }
  if (sessions * sizeof abi::kStoreKernelSession > kMostNames) {
    return fail(ENOSPC, "systemd can't hand over {} sessions: their names are one string of {} KiB",
                sessions, kMostNames / 1024);
  }
  return {};
}

Status SystemdStore::put(std::span<const BorrowedFd> sessions) const {
  const auto stored = [this]() -> Result<uint64_t> {
    const Properties found = TRY(show({unit_}, "NFileDescriptorStore"));
    return number(found, "NFileDescriptorStore");
  };
  const Sender sender{notify_socket_, main_process_};
  const std::string text =
      fmt::format("FDSTORE=1\nFDPOLL=0\nFDNAME={}\n", abi::kStoreKernelSession);
  TRY(barrier(sender));
  const uint64_t before = TRY(stored());
  for (auto rest = sessions; !rest.empty();) {
    const auto some = rest.first(std::min(rest.size(), kMostInMessage));
    TRY(notify(sender, text, some));
    rest = rest.subspan(some.size());
  }
  TRY(barrier(sender));
  const uint64_t now = TRY(stored());
  if (now == before + sessions.size()) return {};
  return fail(EIO, "systemd has taken {} of {} sessions of the kernel into the fd store of {}",
              now - before, sessions.size(), unit_);
}

Status systemctl_kexec() {
  const ProgramEnd end = TRY(run_program({"systemctl", "kexec"}));
  if (end.code == 0) return {};
  // It may have failed after the manager had begun.
  const Result<ProgramEnd> state = run_program({"systemctl", "is-system-running"});
  if (state && state->out.starts_with("stopping")) return {};
  return fail(EIO, "systemctl kexec: exit code {}", end.code);
}

}  // namespace outlive::cli
