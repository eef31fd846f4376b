#include "daemon/name_lookup.h"

#include <limits.h>
#include <netinet/in.h>
#include <nss.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/sys.h"

namespace outlive::daemon {
namespace {

constexpr size_t kMostAddresses = 16;

// What the child says: written at once, so there is all of it or nothing.
struct Answer {
  int code = 0;  // of getaddrinfo(3)
  size_t count = 0;
  struct {
    sockaddr_storage address;
    socklen_t length;
  } found[kMostAddresses] = {};
};
static_assert(sizeof(Answer) <= PIPE_BUF);

Answer ask(const std::string& name, Resolver resolver) {
  if (resolver == nullptr) {
    // Both are in libc itself.
    __nss_configure_lookup("hosts", "files dns");
    resolver = &::getaddrinfo;
  }
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  Answer answer;
  answer.code = resolver(name.c_str(), nullptr, &hints, &list);
  if (answer.code != 0) return answer;
  for (; list != nullptr && answer.count < kMostAddresses; list = list->ai_next) {
    if (list->ai_family != AF_INET && list->ai_family != AF_INET6) continue;
    auto& next = answer.found[answer.count++];
    memcpy(&next.address, list->ai_addr, list->ai_addrlen);
    next.length = list->ai_addrlen;
  }
  return answer;
}

// Killed and buried, whatever it does.
class Child {
 public:
  explicit Child(pid_t pid) : pid_(pid) {}
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    ::kill(pid_, SIGKILL);
    while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) continue;
  }

 private:
  pid_t pid_;
};

Result<Answer> await_answer(BorrowedFd pipe, uint64_t deadline_ns) {
  Answer answer;
  for (;;) {
    const uint64_t now = system_clock().now_ns();
    if (now >= deadline_ns) return fail(ETIMEDOUT, "no answer in time");
    pollfd one{pipe.get(), POLLIN, 0};
    const int ready = ::poll(&one, 1, static_cast<int>((deadline_ns - now) / 1'000'000) + 1);
    if (ready < 0 && errno != EINTR) return fail_errno("poll");
    if (ready <= 0) continue;
    const size_t got = TRY(sys::read(pipe, std::as_writable_bytes(std::span(&answer, 1))));
    if (got != sizeof answer) return fail(EIO, "the resolver has died");
    return answer;
  }
}

ListenAddress with_port(const sockaddr_storage& address, socklen_t length, uint16_t port) {
  ListenAddress at;
  at.domain = address.ss_family;
  at.type = SOCK_STREAM;
  at.address = address;
  at.length = length;
  at.port = port;
  if (address.ss_family == AF_INET) {
    reinterpret_cast<sockaddr_in*>(&at.address)->sin_port = htons(port);
  } else {
    reinterpret_cast<sockaddr_in6*>(&at.address)->sin6_port = htons(port);
  }
  return at;
}

int errno_of(int code) {
  if (code == EAI_NONAME || code == EAI_NODATA) return ENOENT;
  return code == EAI_AGAIN ? EAGAIN : EIO;
}

}  // namespace

Result<std::vector<ListenAddress>> look_up_name(const std::string& name, uint16_t port,
                                                uint64_t deadline_ns, Resolver resolver) {
  sys::Pipe pipe = TRY(sys::pipe());
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) return fail_errno("fork");
  if (pid == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(EXIT_FAILURE);
    const Answer answer = ask(name, resolver);
    const auto written = sys::write(pipe.write, std::as_bytes(std::span(&answer, 1)));
    ::_exit(written ? EXIT_SUCCESS : EXIT_FAILURE);
  }
  const Child child(pid);
  pipe.write.reset();
  const Answer answer = TRY(await_answer(pipe.read, deadline_ns).context("'{}'", name));
  if (answer.code != 0)
    return fail(errno_of(answer.code), "'{}': {}", name, ::gai_strerror(answer.code));
  std::vector<ListenAddress> found;
  for (const auto& one : std::span(answer.found).first(answer.count)) {
    found.push_back(with_port(one.address, one.length, port));
  }
  if (found.empty()) return fail(ENOENT, "'{}': no address", name);
  return found;
}

}  // namespace outlive::daemon
