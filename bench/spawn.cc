// bench-spawn: the limits of anything that is replaced by starting a process.
//
//   bench-spawn [--count N] PROGRAM [ARGUMENT...]              posix_spawn and wait, to its end
//   bench-spawn [--count N] --answers PORT PROGRAM ...         posix_spawn, to its answer to PING
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include <CLI/CLI.hpp>
#include <vector>

#include "base/sys.h"
#include "samples.h"

namespace outlive::bench {
namespace {

Result<pid_t> spawn(std::vector<std::string>& words) {
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  pid_t pid = -1;
  const int code = posix_spawnp(&pid, argv[0], nullptr, nullptr, argv.data(), environ);
  if (code != 0) return fail(code, "{}", words[0]);
  return pid;
}

// Killed and reaped at the end, however that comes.
class Child {
 public:
  explicit Child(pid_t pid) : pid_(pid) {}
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  bool lives() const {
    siginfo_t info{};
    return waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid == 0;
  }

 private:
  pid_t pid_;
};

// Tries again at once while nobody listens: the first answer is what counts.
Status await_answer(uint16_t port, const Child& child) {
  sockaddr_in name{};
  name.sin_family = AF_INET;
  name.sin_port = htons(port);
  name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  for (;;) {
    const UniqueFd fd = TRY(sys::socket(AF_INET, SOCK_STREAM));
    if (sys::connect(fd, reinterpret_cast<const sockaddr*>(&name), sizeof name)) {
      TRY(sys::write_all(fd, "PING\r\n"));
      std::byte reply[16];
      const size_t got = TRY(sys::recv(fd, reply, 0));
      if (got > 0) return {};
    }
    if (!child.lives()) return fail(ECHILD, "it ended before it answered");
    sched_yield();
  }
}

Status run(Samples& samples, std::vector<std::string> words, size_t count, uint16_t port) {
  for (size_t i = 0; i < count; ++i) {
    const uint64_t start = now_ns();
    const pid_t pid = TRY(spawn(words));
    if (port == 0) {
      waitpid(pid, nullptr, 0);
      samples.add("spawn", now_ns() - start);
      continue;
    }
    const Child child(pid);
    TRY(await_answer(port, child));
    samples.add("restart", now_ns() - start);
  }
  return {};
}

}  // namespace
}  // namespace outlive::bench

int main(int argc, char** argv) {
  CLI::App app("Times the start of a process.", "bench-spawn");
  size_t count = 500;
  uint16_t port = 0;
  std::vector<std::string> words;
  app.add_option("--count", count);
  app.add_option("--answers", port, "Its port on 127.0.0.1");
  app.add_option("program", words)->required();
  app.prefix_command();
  app.positionals_at_end();
  CLI11_PARSE(app, argc, argv);
  for (const std::string& word : app.remaining()) words.push_back(word);
  outlive::bench::Samples samples;
  const outlive::Status status = outlive::bench::run(samples, words, count, port);
  if (!status) {
    fmt::print(stderr, "bench-spawn: {}\n", status.error().text());
    return 1;
  }
  samples.print();
  return 0;
}
