#include "files/survival.h"

#include "base/check.h"
#include "files/memfd/kernel_rules.h"

namespace outlive::files {
namespace {

using luo::FileKind;

// Over everything but a kexec, every open file is kept; the rows differ in the kernel's column.
constexpr SurvivalRow row(FileKind kind, const char* name, Way kernel, const char* text) {
  return {kind, name, Way::kKeep, Way::kKeep, Way::kKeep, kernel, text};
}

constexpr SurvivalRow kTable[] = {
    row(FileKind::kMemfd, "memfd", Way::kByKernel, "contents, size and seals, by the kernel's LUO"),
    row(FileKind::kRegular, "regular file", Way::kRecreate,
        "handle or path with identity (device, inode, generation), offset, flags, locks"),
    row(FileKind::kDirectory, "directory", Way::kRecreate,
        "handle or path with identity (device, inode, generation), offset, flags"),
    row(FileKind::kPipe, "pipe", Way::kRecreate, "what is in it, its size and flags"),
    row(FileKind::kFifo, "FIFO", Way::kRecreate, "its path, what is in it, its size and flags"),
    row(FileKind::kEventfd, "eventfd", Way::kRecreate, "its counter"),
    row(FileKind::kTimerfd, "timerfd", Way::kRecreate, "its expiry and interval"),
    row(FileKind::kSignalfd, "signalfd", Way::kRecreate, "its mask"),
    row(FileKind::kEpoll, "epoll", Way::kRecreate, "its interest list, by token"),
    row(FileKind::kUnixListener, "Unix listener", Way::kRecreate,
        "its path or abstract name, backlog and options"),
    row(FileKind::kUnixConnection, "Unix connection", Way::kRecreate,
        "queued data and options, when both ends are preserved"),
    row(FileKind::kUnixPair, "Unix socket pair", Way::kRecreate,
        "queued data and options, when both ends are preserved"),
    row(FileKind::kUnixDatagram, "Unix datagram socket", Way::kRecreate,
        "its path or abstract name, options and queued data"),
    row(FileKind::kTcpListener, "TCP listener", Way::kRecreate,
        "its address, options, backlog and reuseport group"),
    row(FileKind::kTcpConnection, "TCP connection", Way::kRecreate,
        "sequence numbers, queues, options and window (TCP_REPAIR)"),
    row(FileKind::kUdp, "UDP socket", Way::kRecreate, "its address, peer and options"),
    row(FileKind::kOtherSocket, "other socket", Way::kNo, "no way to recreate it is known"),
    row(FileKind::kPty, "pty", Way::kRecreate,
        "its window size and modes; who holds the other end must retrieve it too"),
    row(FileKind::kTun, "tun/tap", Way::kRecreate, "its name, flags and filters"),
    row(FileKind::kInotify, "inotify/fanotify", Way::kRecreate,
        "its watches, by path; events that wait are lost"),
    row(FileKind::kPidfd, "pidfd", Way::kNo, "the process that it names ends with the kernel"),
    row(FileKind::kCharDevice, "character device", Way::kNo, "a driver's state can't be saved"),
    row(FileKind::kBlockDevice, "block device", Way::kNo, "a driver's state can't be saved"),
    row(FileKind::kIoUring, "io_uring", Way::kNo, "its rings belong to the kernel that made them"),
    row(FileKind::kOther, "opaque file", Way::kNo, "an opaque file can't be saved"),
};

Way way_of(const SurvivalRow& row, luo::Scope scope) {
  switch (scope) {
    case luo::Scope::kService:
      return row.service;
    case luo::Scope::kDaemon:
      return row.daemon;
    case luo::Scope::kHost:
      return row.host;
    case luo::Scope::kKernel:
      return row.kernel;
  }
  return Way::kNo;
}

// What the kernel's memfd handler refuses, "" when it takes the file.
std::string refused_by_kernel(const luo::FileFacts& facts) {
  if (facts.huge_pages) return "the kernel refuses a memfd of huge pages";
  if (const int unknown = facts.seals & ~kKernelSeals) {
    return fmt::format("the kernel doesn't know seals {:#x}", unknown);
  }
  return "";
}

}  // namespace

std::span<const SurvivalRow> survival_table() {
  return kTable;
}

const SurvivalRow& survival_row(FileKind kind) {
  for (const SurvivalRow& row : kTable) {
    if (row.kind == kind) return row;
  }
  check_failed("every FileKind has a row", __FILE__, __LINE__);
}

const char* name_of(Way way) {
  switch (way) {
    case Way::kKeep:
      return "keep";
    case Way::kRecreate:
      return "recreate";
    case Way::kByKernel:
      return "by the kernel";
    case Way::kNo:
      return "no";
  }
  return "no";
}

Crossing crossing(const luo::FileFacts& facts, luo::Scope scope) {
  const SurvivalRow& row = survival_row(facts.kind);
  const Way way = way_of(row, scope);
  switch (way) {
    case Way::kKeep:
      return {way, false, "keep"};
    case Way::kRecreate:
      return {
          way, !kRecreateBuilt,
          fmt::format("{}{}",
                      kRecreateBuilt ? "recreate: " : "recreate: not in this version; would save ",
                      row.kernel_text)};
    case Way::kByKernel: {
      const std::string refused = refused_by_kernel(facts);
      if (!refused.empty()) return {Way::kNo, true, "lost: " + refused};
      return {way, false, row.kernel_text};
    }
    case Way::kNo:
      break;
  }
  return {Way::kNo, true, fmt::format("lost: {}", row.kernel_text)};
}

abi::SurvivalClass survival_class(const luo::FileFacts& facts) {
  auto widest = abi::SurvivalClass::kNone;
  for (const luo::Scope scope : kScopes) {
    if (crossing(facts, scope).lost) break;
    widest = static_cast<abi::SurvivalClass>(scope);
  }
  return widest;
}
static_assert(static_cast<uint64_t>(luo::Scope::kService) ==
              static_cast<uint64_t>(abi::SurvivalClass::kService));
static_assert(static_cast<uint64_t>(luo::Scope::kKernel) ==
              static_cast<uint64_t>(abi::SurvivalClass::kKernel));

const char* text_of(const Crossing& crossing) {
  if (crossing.lost) return "lost";
  switch (crossing.way) {
    case Way::kKeep:
      return "keep";
    case Way::kRecreate:
      return "recreate";
    case Way::kByKernel:
      return "by kernel";
    case Way::kNo:
      break;
  }
  return "lost";
}

}  // namespace outlive::files
