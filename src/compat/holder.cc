#include "compat/holder.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>

#include "base/log.h"
#include "base/sys.h"
#include "compat/background.h"

namespace outlive::compat {
namespace {

using abi::CompatRequest;

// It holds one of every preserved file and of every session.
void raise_fd_limit() {
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  static_cast<void>(setrlimit(RLIMIT_NOFILE, &limit));
}

Result<UniqueFd> listen_at(const std::string& path) {
  const Status stale = sys::unlink(path);  // of a holder that was killed
  static_cast<void>(stale);
  const sys::UnixAddress address = TRY(sys::unix_address(path));
  UniqueFd socket = TRY(sys::socket(AF_UNIX, SOCK_SEQPACKET));
  TRY(sys::bind(socket, reinterpret_cast<const sockaddr*>(&address.address), address.length)
          .context("{}", path));
  TRY(sys::listen(socket, 64));
  return socket;
}

}  // namespace

Result<Link> Holder::spawn(Kernel kernel) {
  sys::SocketPair pair = TRY(sys::socketpair(SOCK_SEQPACKET));
  const pid_t child = ::fork();
  if (child < 0) return fail_errno("fork");
  if (child == 0) {
    pair.first.reset();
    live(kernel, std::move(pair.second), {}, "");
  }
  return Link(std::move(pair.first));
}

Result<Link> Holder::ensure(const std::string& path, Kernel kernel) {
  // The folder is the lock: two that start at once make one device.
  const UniqueFd folder = TRY(sys::open(path.substr(0, path.rfind('/')), O_RDONLY | O_DIRECTORY));
  TRY(sys::flock(folder, LOCK_EX));
  Result<Link> there = Link::connect(path);
  if (there || there.error().code != ENOENT) return there;
  UniqueFd listener = TRY(listen_at(path));
  const pid_t child = ::fork();
  if (child < 0) return fail_errno("fork");
  if (child == 0) {
    if (::fork() != 0) _exit(0);
    live(kernel, {}, std::move(listener), path);
  }
  static_cast<void>(waitpid(child, nullptr, 0));
  listener.reset();
  return Link::connect(path);
}

void Holder::live(Kernel kernel, UniqueFd connection, UniqueFd listener, std::string path) {
  set_log_role("compat holder");
  setsid();
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  // Only what it lives of stays open: not the folder's lock, not somebody's pipe.
  const int kept = connection ? connection.get() : listener.get();
  go_to_background(kept);
  raise_fd_limit();
  Result<std::unique_ptr<Device>> device = Device::create(kernel);
  if (!device) _exit(1);
  Holder holder(device.take(), std::move(listener), std::move(path));
  Result<UniqueFd> epoll = sys::epoll_create();
  if (!epoll) _exit(1);
  holder.epoll_ = epoll.take();
  if (connection) {
    const int number = connection.get();
    if (!holder.watch(connection)) _exit(1);
    holder.connections_[number] = std::move(connection);
  } else if (!holder.watch(holder.listener_)) {
    _exit(1);
  }
  if (!holder.watch(holder.device_->closed())) _exit(1);
  _exit(holder.run() ? 0 : 1);
}

Status Holder::watch(BorrowedFd fd) {
  return sys::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, EPOLLIN, static_cast<uint64_t>(fd.get()));
}

Status Holder::run() {
  std::array<epoll_event, 16> events;
  while (!stopping_ && (listener_ || !connections_.empty())) {
    const size_t count = TRY(sys::epoll_wait(epoll_, events, -1));
    for (size_t i = 0; i < count; ++i) {
      const int fd = static_cast<int>(events[i].data.u64);
      if (fd == listener_.get()) {
        accept_one();
      } else if (connections_.contains(fd)) {
        serve(fd);
      } else {
        device_->drain();
      }
    }
  }
  if (!path_.empty()) TRY(sys::unlink(path_));
  return {};
}

void Holder::accept_one() {
  Result<UniqueFd> accepted = sys::accept(listener_, 0);
  if (!accepted) return;
  const Result<ucred> peer = sys::peer_credentials(*accepted);
  if (!peer || (peer->uid != geteuid() && peer->uid != 0)) return;
  const int number = accepted->get();
  if (!watch(*accepted)) return;
  connections_[number] = std::move(*accepted);
}

void Holder::serve(int connection) {
  const BorrowedFd socket = connections_[connection];
  abi::CompatAsk ask;
  Result<Packet> packet = receive_packet(socket, writable_packet(ask));
  if (!packet || packet->closed) {
    connections_.erase(connection);
    return;
  }
  UniqueFd fd;
  const abi::CompatAnswer reply = answer(ask, std::move(packet->fd), &fd);
  if (stopping_ && !path_.empty()) {
    // Gone before it is said: who asks next makes a new one.
    const Status gone = sys::unlink(path_);
    static_cast<void>(gone);
    path_.clear();
  }
  if (!send_packet(socket, packet_bytes(reply), fd)) connections_.erase(connection);
}

abi::CompatAnswer Holder::answer(const abi::CompatAsk& ask, UniqueFd file, UniqueFd* fd) {
  abi::CompatAnswer reply = {};
  reply.magic = abi::kCompatMagic;
  device_->drain();  // closes that came before the request are done before it
  const Status done = request(ask, std::move(file), &reply, fd);
  reply.kernel = static_cast<uint32_t>(device_->kernel());
  reply.number = device_->number();
  if (!done) {
    reply.error = static_cast<uint32_t>(done.error().code);
    const std::string& text = done.error().message;
    memcpy(reply.body, text.data(), std::min(text.size(), sizeof reply.body - 1));
  }
  return reply;
}

Status Holder::request(const abi::CompatAsk& ask, UniqueFd file, abi::CompatAnswer* reply,
                       UniqueFd* fd) {
  const std::span body(reinterpret_cast<const std::byte*>(ask.body),
                       std::min<size_t>(ask.size, sizeof ask.body));
  switch (static_cast<CompatRequest>(ask.request)) {
    case CompatRequest::kLook:
      reply->kind = static_cast<uint32_t>(device_->look(ask.cookie));
      return {};
    case CompatRequest::kOpen:
      *fd = TRY(device_->open());
      return {};
    case CompatRequest::kExecute: {
      Result<UniqueFd> wanted = std::move(file);
      if (ask.file_error != 0) wanted = fail(static_cast<int>(ask.file_error), "no such file");
      Device::Answer done = TRY(device_->execute(ask.cookie, ask.command, body, std::move(wanted)));
      reply->size = static_cast<uint32_t>(std::min(done.body.size(), sizeof reply->body));
      memcpy(reply->body, done.body.data(), reply->size);
      *fd = std::move(done.fd);
      return {};
    }
    case CompatRequest::kKexecLoad:
      device_->load(ask.command != 0);
      return {};
    case CompatRequest::kKexec:
      return device_->kexec();
    case CompatRequest::kReboot:
      return device_->reboot();
    case CompatRequest::kFaults:
      return device_->set_faults({reinterpret_cast<const char*>(body.data()), body.size()});
    case CompatRequest::kStop:
      stopping_ = true;
      return {};
  }
  return fail(EPROTO, "request {}", ask.request);
}

}  // namespace outlive::compat
