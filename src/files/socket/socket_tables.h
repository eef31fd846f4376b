// The sockets of a process' network namespace, by inode, as /proc/PID/net/{tcp,tcp6,udp,udp6,unix}
// list them: tells a listener from a connection of any process, with no ptrace right.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/result.h"
#include "luo/file_handler.h"

namespace outlive::files {

struct SocketEntry {
  luo::FileKind kind = luo::FileKind::kOtherSocket;
  bool connected = false;
  std::string detail;  // "tcp 127.0.0.1:80", "unix /run/x.sock", "unix"
  std::string name;    // of a Unix socket; "": it has none
};

class SocketTables {
 public:
  // ENOENT, ESRCH: there is no such process. A table that this kernel doesn't have is empty.
  static Result<SocketTables> read(pid_t pid);

  // nullptr: of another namespace, or neither bound nor connected.
  const SocketEntry* find(uint64_t inode) const;

  // For tests: adds the rows of one table's text. A row that can't be read is left out.
  void parse_inet(std::string_view text, bool udp, bool v6);
  void parse_unix(std::string_view text);

 private:
  std::unordered_map<uint64_t, SocketEntry> by_inode_;
};

}  // namespace outlive::files
