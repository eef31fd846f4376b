#include "files/socket/socket_tables.h"

#include <arpa/inet.h>
#include <string.h>

#include <charconv>
#include <optional>
#include <vector>

#include "base/sys.h"
#include "files/printable.h"

namespace outlive::files {
namespace {

using luo::FileKind;

constexpr size_t kMostBytes = size_t{256} << 20;  // of one table: a million connections

// Takes the next word off `line`.
std::string_view next_word(std::string_view& line) {
  const size_t start = line.find_first_not_of(' ');
  if (start == std::string_view::npos) return line = {};
  line.remove_prefix(start);
  const std::string_view word = line.substr(0, line.find(' '));
  line.remove_prefix(word.size());
  return word;
}

std::optional<uint64_t> number(std::string_view text, int base) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// "0100007F:1F90": words of 8 hex digits, each the native number of four network-order bytes.
std::optional<std::string> address_text(std::string_view field, bool v6) {
  const size_t words = v6 ? 4 : 1;
  if (field.size() != words * 8 + 5 || field[words * 8] != ':') return std::nullopt;
  uint32_t bytes[4] = {};
  for (size_t i = 0; i < words; ++i) {
    const auto word = number(field.substr(i * 8, 8), 16);
    if (!word) return std::nullopt;
    bytes[i] = static_cast<uint32_t>(*word);
  }
  const auto port = number(field.substr(words * 8 + 1), 16);
  if (!port) return std::nullopt;
  char text[INET6_ADDRSTRLEN];
  if (inet_ntop(v6 ? AF_INET6 : AF_INET, bytes, text, sizeof text) == nullptr) return std::nullopt;
  return v6 ? fmt::format("[{}]:{}", text, *port) : fmt::format("{}:{}", text, *port);
}

// States of include/net/tcp_states.h, the column "st".
constexpr uint64_t kEstablished = 1;
constexpr uint64_t kSynSent = 2;
constexpr uint64_t kClose = 7;
constexpr uint64_t kListen = 10;

struct InetRow {
  uint64_t inode;
  SocketEntry entry;
};
std::optional<InetRow> inet_row(std::string_view line, bool udp, bool v6) {
  std::string_view words[10];  // sl local remote st queues timer retransmits uid timeout inode
  for (std::string_view& word : words) word = next_word(line);
  const auto local = address_text(words[1], v6);
  const auto remote = address_text(words[2], v6);
  const auto state = number(words[3], 16);
  const auto inode = number(words[9], 10);
  if (!local || !remote || !state || !inode) return std::nullopt;
  SocketEntry entry;
  entry.connected =
      udp ? *state == kEstablished : *state != kListen && *state != kClose && *state != kSynSent;
  entry.kind = udp                 ? FileKind::kUdp
               : *state == kListen ? FileKind::kTcpListener
                                   : FileKind::kTcpConnection;
  entry.detail = fmt::format("{}{} {}", udp ? "udp" : "tcp", v6 ? "6" : "", *local);
  if (entry.connected) entry.detail += " -> " + *remote;
  return InetRow{*inode, std::move(entry)};
}

FileKind unix_kind(bool listening, uint64_t type) {
  if (listening) return FileKind::kUnixListener;
  return type == SOCK_DGRAM ? FileKind::kUnixDatagram : FileKind::kUnixConnection;
}

template <typename Each>
void for_each_line(std::string_view text, Each each) {
  text.remove_prefix(std::min(text.size(), text.find('\n')));  // the head line
  while (!text.empty()) {
    text.remove_prefix(1);
    const std::string_view line = text.substr(0, text.find('\n'));
    if (!line.empty()) each(line);
    text.remove_prefix(line.size());
  }
}

// "" for a table that isn't there: a kernel without IPv6, without Unix sockets.
Result<std::string> read_table(pid_t pid, const char* name) {
  Result<std::string> text = sys::read_file(fmt::format("/proc/{}/net/{}", pid, name), kMostBytes);
  if (!text && text.error().code == ENOENT) return std::string();
  return text;
}

}  // namespace

void SocketTables::parse_inet(std::string_view text, bool udp, bool v6) {
  for_each_line(text, [&](std::string_view line) {
    std::optional<InetRow> row = inet_row(line, udp, v6);
    // Inode 0: nobody's any more (TIME_WAIT).
    if (row && row->inode != 0) by_inode_.emplace(row->inode, std::move(row->entry));
  });
}

// A path may contain a newline, and what follows it may look like a row: the first row of an inode
// wins, but a process can still name inodes that aren't listed. It is a plan, not a permission.
void SocketTables::parse_unix(std::string_view text) {
  for_each_line(text, [&](std::string_view line) {
    std::string_view words[7];  // address references protocol flags type state inode, then path
    for (std::string_view& word : words) word = next_word(line);
    const auto flags = number(words[3], 16);
    const auto type = number(words[4], 16);
    const auto state = number(words[5], 16);
    const auto inode = number(words[6], 10);
    if (!flags || !type || !state || !inode) return;
    constexpr uint64_t kAcceptFlag = 0x10000;  // __SO_ACCEPTCON
    constexpr uint64_t kConnected = 3;         // SS_CONNECTED
    SocketEntry entry;
    entry.kind = unix_kind((*flags & kAcceptFlag) != 0, *type);
    entry.connected = *state == kConnected && entry.kind != FileKind::kUnixListener;
    if (!line.empty()) entry.name = printable(line.substr(1));
    entry.detail = entry.name.empty() ? "unix" : "unix " + entry.name;
    by_inode_.emplace(*inode, std::move(entry));
  });
}

Result<SocketTables> SocketTables::read(pid_t pid) {
  const std::string tcp = TRY(read_table(pid, "tcp"));
  const std::string tcp6 = TRY(read_table(pid, "tcp6"));
  const std::string udp = TRY(read_table(pid, "udp"));
  const std::string udp6 = TRY(read_table(pid, "udp6"));
  const std::string unix_text = TRY(read_table(pid, "unix"));
  SocketTables tables;
  tables.parse_inet(tcp, false, false);
  tables.parse_inet(tcp6, false, true);
  tables.parse_inet(udp, true, false);
  tables.parse_inet(udp6, true, true);
  tables.parse_unix(unix_text);
  return tables;
}

const SocketEntry* SocketTables::find(uint64_t inode) const {
  const auto found = by_inode_.find(inode);
  return found == by_inode_.end() ? nullptr : &found->second;
}

}  // namespace outlive::files
