#include "bare_peer.h"

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <vector>

#include "abi/wire.h"
#include "samples.h"

namespace outlive::bench {
namespace {

enum class Op : uint32_t { kKeep, kGive, kRelease };

struct Question {
  abi::MessageHeader header;
  Op op;
  uint32_t count;
  uint64_t tokens[abi::kMaxFds];  // as many of them are sent as there are fds
};
constexpr size_t kReplySize = sizeof(abi::MessageHeader) + 24;

// One message, and what room or fds it has.
struct Packet {
  iovec part{};
  alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(abi::kMaxFds * sizeof(BorrowedFd))> control;
  msghdr message{};

  Packet(void* bytes, size_t size) : part{bytes, size} {
    message.msg_iov = &part;
    message.msg_iovlen = 1;
  }
  void attach(std::span<const BorrowedFd> fds) {
    if (fds.empty()) return;
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* head = CMSG_FIRSTHDR(&message);
    *head = {CMSG_LEN(fds.size_bytes()), SOL_SOCKET, SCM_RIGHTS};
    memcpy(CMSG_DATA(head), fds.data(), fds.size_bytes());
  }
  void make_room() {
    message.msg_control = control.data();
    message.msg_controllen = control.size();
  }
  std::vector<BorrowedFd> arrived() {
    const cmsghdr* head = CMSG_FIRSTHDR(&message);
    if (head == nullptr || head->cmsg_type != SCM_RIGHTS) return {};
    std::vector<BorrowedFd> fds((head->cmsg_len - CMSG_LEN(0)) / sizeof(BorrowedFd));
    memcpy(static_cast<void*>(fds.data()), CMSG_DATA(head), fds.size() * sizeof(BorrowedFd));
    return fds;
  }
};
static_assert(sizeof(BorrowedFd) == 4, "travels as the kernel's fd number");

Status answer(BorrowedFd socket, BorrowedFd gift, std::vector<UniqueFd>& kept, bool& ended) {
  Question question{};
  Packet in(&question, sizeof question);
  in.make_room();
  ended = TRY(sys::recvmsg(socket, in.message, MSG_CMSG_CLOEXEC))
  == 0;
  if (ended) return {};
  for (const BorrowedFd fd : in.arrived()) kept.emplace_back(fd.get());
  if (question.op == Op::kRelease) kept.clear();
  std::array<std::byte, kReplySize> reply{};
  Packet out(reply.data(), reply.size());
  const std::vector<BorrowedFd> gifts(question.op == Op::kGive ? question.count : 0, gift);
  out.attach(gifts);
  TRY(sys::sendmsg(socket, out.message, MSG_NOSIGNAL));
  return {};
}

Status serve(BorrowedFd socket, int cpu) {
  TRY(pin_to_cpu(cpu));
  const UniqueFd epoll = TRY(sys::epoll_create());
  const UniqueFd gift = TRY(sys::memfd_create("bare", MFD_CLOEXEC));
  TRY(sys::epoll_ctl(epoll, EPOLL_CTL_ADD, socket, EPOLLIN, 0));
  std::vector<UniqueFd> kept;
  for (bool ended = false; !ended;) {
    epoll_event events[16];
    const size_t ready = TRY(sys::epoll_wait(epoll, events, -1));
    if (ready > 0) TRY(answer(socket, gift, kept, ended));
  }
  return {};
}

Result<std::vector<BorrowedFd>> ask(BorrowedFd socket, Op op, uint32_t count,
                                    std::span<const BorrowedFd> fds) {
  Question question{};
  question.op = op;
  question.count = count;
  Packet out(&question, offsetof(Question, tokens) + count * sizeof(uint64_t));
  out.attach(fds);
  TRY(sys::sendmsg(socket, out.message, MSG_NOSIGNAL));
  std::array<std::byte, kReplySize> reply;
  Packet in(reply.data(), reply.size());
  in.make_room();
  const size_t got = TRY(sys::recvmsg(socket, in.message, MSG_CMSG_CLOEXEC));
  if (got == 0) {
    return fail(ECONNRESET, "the bare peer ended");
  }
  return in.arrived();
}

}  // namespace

Result<BarePeer> BarePeer::start(int cpu) {
  sys::SocketPair pair = TRY(sys::socketpair(SOCK_SEQPACKET));
  const pid_t pid = fork();
  if (pid < 0) return fail_errno("fork");
  if (pid == 0) {
    pair.first.reset();
    _exit(serve(pair.second, cpu) ? 0 : 1);
  }
  return BarePeer(std::move(pair.first), pid);
}

BarePeer::~BarePeer() {
  socket_.reset();
  if (pid_ > 0) waitpid(pid_, nullptr, 0);
}

Status BarePeer::send(std::span<const BorrowedFd> fds) {
  TRY(ask(socket_, Op::kKeep, static_cast<uint32_t>(fds.size()), fds));
  return {};
}

Status BarePeer::receive(std::span<UniqueFd> fds) {
  const auto arrived = TRY(ask(socket_, Op::kGive, static_cast<uint32_t>(fds.size()), {}));
  if (arrived.size() != fds.size()) return fail(EPROTO, "{} fds came", arrived.size());
  for (size_t i = 0; i < fds.size(); ++i) fds[i] = UniqueFd(arrived[i].get());
  return {};
}

Status BarePeer::release() {
  TRY(ask(socket_, Op::kRelease, 0, {}));
  return {};
}

}  // namespace outlive::bench
