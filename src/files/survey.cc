#include "files/survey.h"

#include <sys/xattr.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <optional>

#include "base/sys.h"
#include "files/memfd/memfd_device.h"
#include "files/node.h"
#include "files/socket/socket_tables.h"
#include "files/socket/unix_peer.h"

namespace outlive::files {
namespace {

using luo::FileFacts;
using luo::FileKind;

std::string own_link(BorrowedFd fd) {
  return fmt::format("/proc/self/fd/{}", fd.get());
}

// The error of /proc/PID for people.
Error no_access(pid_t pid, int code) {
  if (code == EACCES || code == EPERM) {
    return fail(EPERM, "process {}: not permitted to see its files (run as its user, or as root)",
                pid);
  }
  if (code == ENOENT || code == ESRCH) {
    return fail(ESRCH, "process {}: no such process, or it has ended (see: ps -p {})", pid, pid);
  }
  return fail(code, "process {}: can't read /proc/{}/fd (is /proc mounted?)", pid, pid);
}

Result<std::vector<uint32_t>> open_numbers(pid_t pid) {
  std::vector<uint32_t> numbers;
  std::error_code error;
  std::filesystem::directory_iterator entry(fmt::format("/proc/{}/fd", pid), error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    uint32_t number = 0;
    std::from_chars(name.data(), name.data() + name.size(), number);
    numbers.push_back(number);
  }
  if (error) return no_access(pid, error.value());
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

// Ended, but not waited for by its parent: its table looks empty to root, forbidden to others.
bool is_zombie(pid_t pid) {
  const Result<std::string> stat = sys::read_file(fmt::format("/proc/{}/stat", pid));
  if (!stat) return false;
  // "PID (NAME) STATE ...": the name may contain anything, brackets too.
  const size_t name_end = stat->rfind(')');
  if (name_end == std::string::npos || name_end + 2 >= stat->size()) return false;
  const char state = (*stat)[name_end + 2];
  return state == 'Z' || state == 'X';
}

// What the socket file system calls it: "TCP", "UDPv6", "NETLINK"; "" when it doesn't say.
std::string protocol_of(BorrowedFd path_fd) {
  char name[64];
  const ssize_t size =
      ::getxattr(own_link(path_fd).c_str(), "system.sockprotoname", name, sizeof name - 1);
  if (size <= 0) return "";
  name[size] = '\0';
  return name;
}

// A socket that no table lists: neither bound nor connected, or of another namespace.
void add_unlisted(BorrowedFd path_fd, FileFacts& facts) {
  const std::string protocol = protocol_of(path_fd);
  if (protocol.empty()) return;
  facts.detail = protocol + " " + facts.detail;
  if (protocol.starts_with("TCP") || protocol.starts_with("MPTCP")) {
    facts.kind = FileKind::kTcpConnection;
  } else if (protocol == "UDP" || protocol == "UDPv6") {
    facts.kind = FileKind::kUdp;
  } else if (protocol.starts_with("UNIX")) {
    facts.kind = FileKind::kUnixConnection;
  }
}

// Carries what is read once for all files of the process.
class Surveyor {
 public:
  explicit Surveyor(pid_t pid, SocketTables tables) : pid_(pid), tables_(std::move(tables)) {
    Result<UnixPeers> peers = UnixPeers::open();
    if (peers) peers_ = std::move(*peers);
  }

  Result<SurveyedFile> look(uint32_t number) const {
    // An O_PATH descriptor opens nothing, and holds this very file while we look at it.
    const UniqueFd fd = TRY(sys::open(fmt::format("/proc/{}/fd/{}", pid_, number), O_PATH));
    const Node node = TRY(node_of(fd));
    SurveyedFile file;
    file.number = number;
    file.facts = facts_of(node);
    if (file.facts.kind == FileKind::kRegular) {
      TRY(add_memfd(fd, node, file.facts));
    }
    if (file.facts.kind == FileKind::kOtherSocket) add_socket(fd, file.facts);
    add_fdinfo(number, file.facts);
    for (size_t i = 0; i < kScopes.size(); ++i) {
      file.crossings[i] = crossing(file.facts, kScopes[i]);
    }
    return file;
  }

 private:
  static Status add_memfd(BorrowedFd path_fd, const Node& node, FileFacts& facts) {
    const MemfdDevice device = TRY(looks_like_memfd(node));
    if (device == MemfdDevice::kNone) return {};
    facts.kind = FileKind::kMemfd;
    facts.huge_pages = device == MemfdDevice::kHuge;
    // Opening memory waits for nobody; its mode may still forbid it, then the seals stay unknown.
    const Result<UniqueFd> memory = sys::open(own_link(path_fd), O_RDONLY | O_NONBLOCK);
    if (!memory) return {};
    facts.seals = TRY(sys::get_seals(*memory));
    return {};
  }

  void add_socket(BorrowedFd path_fd, FileFacts& facts) const {
    const SocketEntry* entry = tables_.find(facts.inode);
    if (entry == nullptr) return add_unlisted(path_fd, facts);
    facts.kind = entry->kind;
    facts.connected = entry->connected;
    facts.detail = entry->detail;
    if (facts.kind == FileKind::kUnixConnection && entry->connected) add_unix_peer(*entry, facts);
  }

  void add_unix_peer(const SocketEntry& entry, FileFacts& facts) const {
    if (!peers_) return;
    const Result<uint64_t> inode = peers_->peer_of(facts.inode);
    const SocketEntry* peer = inode ? tables_.find(*inode) : nullptr;
    if (peer == nullptr) return;
    if (entry.name.empty() && peer->name.empty()) {
      facts.kind = FileKind::kUnixPair;
      facts.detail = fmt::format("unix pair with socket:[{}]", *inode);
    } else if (!peer->name.empty()) {
      facts.detail += " -> " + peer->name;
    }
  }

  // Only of kinds whose fdinfo takes no lock that a process can hold (an epoll's can).
  void add_fdinfo(uint32_t number, FileFacts& facts) const {
    const char* key = facts.kind == FileKind::kEventfd ? "eventfd-count:"
                      : facts.kind == FileKind::kPidfd ? "Pid:"
                                                       : nullptr;
    if (key == nullptr) return;
    const auto text = sys::read_file(fmt::format("/proc/{}/fdinfo/{}", pid_, number));
    if (!text) return;
    const size_t at = text->find(std::string("\n") + key);
    if (at == std::string::npos) return;
    const size_t start = text->find_first_not_of(" \t", at + 1 + std::string_view(key).size());
    if (start == std::string::npos) return;
    facts.detail += fmt::format(" {} {}", facts.kind == FileKind::kPidfd ? "of process" : "count",
                                text->substr(start, text->find('\n', start) - start));
  }

  pid_t pid_;
  SocketTables tables_;
  std::optional<UnixPeers> peers_;
};

}  // namespace

Result<std::vector<SurveyedFile>> survey(pid_t pid) {
  if (pid <= 0) return fail(EINVAL, "{} is not a process number", pid);
  if (is_zombie(pid)) return no_access(pid, ESRCH);
  const std::vector<uint32_t> numbers = TRY(open_numbers(pid));
  Result<SocketTables> tables = SocketTables::read(pid);
  // Ended meanwhile.
  if (!tables) return no_access(pid, tables.error().code);
  const Surveyor surveyor(pid, std::move(*tables));
  std::vector<SurveyedFile> files;
  for (const uint32_t number : numbers) {
    Result<SurveyedFile> file = surveyor.look(number);
    if (file) {
      files.push_back(std::move(*file));
    } else if (file.error().code == EACCES || file.error().code == EPERM) {
      return no_access(pid, EPERM);
    } else if (file.error().code != ENOENT) {  // ENOENT: closed meanwhile
      return file.take_error();
    }
  }
  return files;
}

}  // namespace outlive::files
