#include "machine/process/rehearsal.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "abi/control_block.h"
#include "base/sys.h"

namespace outlive::machine {
namespace {

[[noreturn]] void run_rehearsal(pid_t keeper, BorrowedFd binary, BorrowedFd image,
                                BorrowedFd config, BorrowedFd output, const std::string& nonce,
                                const std::vector<BorrowedFd>& hidden,
                                const std::vector<std::string>& argv) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != keeper) ::_exit(75);
  // Of our own table.
  for (const BorrowedFd fd : hidden) static_cast<void>(sys::set_cloexec(fd, true));
  if (!sys::set_cloexec(image, false) || !sys::set_cloexec(output, false)) ::_exit(75);
  if (config.valid() &&
      (!sys::set_cloexec(config, false) ||
       ::setenv(abi::kRehearsalConfigVariable, std::to_string(config.get()).c_str(), 1) != 0)) {
    ::_exit(75);
  }
  const std::string what = fmt::format("{},{},{}", image.get(), output.get(), nonce);
  std::vector<char*> words;
  for (const std::string& word : argv) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(const_cast<char*>("--rehearse"));
  words.push_back(const_cast<char*>(what.c_str()));
  words.push_back(nullptr);
  ::syscall(SYS_execveat, binary.get(), "", words.data(), environ, AT_EMPTY_PATH);
  const std::string line = fmt::format("{} {} refused it can't be executed: {}\n",
                                       abi::kRehearsalCompatible, nonce, strerrordesc_np(errno));
  static_cast<void>(sys::write_all(output, line));
  ::_exit(127);
}

// The word at the front, which is taken off.
std::string_view take_word(std::string_view* text) {
  const size_t end = std::min(text->find(' '), text->size());
  const std::string_view word = text->substr(0, end);
  text->remove_prefix(std::min(end + 1, text->size()));
  return word;
}

}  // namespace

Result<Rehearsal> Rehearsal::start(BorrowedFd binary, BorrowedFd image, BorrowedFd config,
                                   const std::vector<BorrowedFd>& hidden,
                                   const std::vector<std::string>& argv) {
  uint64_t random[2] = {0, 0};
  if (::getrandom(random, sizeof random, 0) != sizeof random) return fail_errno("getrandom");
  Rehearsal rehearsal;
  rehearsal.nonce = fmt::format("{:016x}{:016x}", random[0], random[1]);
  sys::Pipe pipe = TRY(sys::pipe());
  TRY(sys::set_nonblocking(pipe.read, true));
  const pid_t keeper = ::getpid();
  const pid_t pid = ::fork();
  if (pid == -1) return fail_errno("fork");
  if (pid == 0) {
    run_rehearsal(keeper, binary, image, config, pipe.write, rehearsal.nonce, hidden, argv);
  }
  rehearsal.pid = pid;
  rehearsal.pidfd = TRY(sys::pidfd_open(pid));
  rehearsal.output = std::move(pipe.read);
  return rehearsal;
}

void Rehearsal::read(BorrowedFd output, std::string* heard) {
  constexpr size_t kMost = abi::kRehearsalLine + abi::kTakeoverWarm;
  std::byte buffer[4096];
  for (;;) {
    const size_t room = std::min(kMost - heard->size(), sizeof buffer);
    if (room == 0) return;
    const Result<size_t> got = sys::read(output, std::span(buffer, room));
    if (!got || *got == 0) return;
    heard->append(reinterpret_cast<const char*>(buffer), *got);
  }
}

RehearsalAnswer Rehearsal::judge(std::string_view heard, std::string_view nonce) {
  RehearsalAnswer answer;
  const size_t end = heard.find('\n');
  if (end == heard.npos) return answer;
  std::string_view line = heard.substr(0, end);
  if (take_word(&line) != abi::kRehearsalCompatible || take_word(&line) != nonce) return answer;
  const std::string_view verdict = take_word(&line);
  if (verdict == "refused") {
    answer.reason = line.empty() ? "no reason given" : std::string(line);
    return answer;
  }
  if (verdict != "ok") return answer;
  answer.version = take_word(&line);
  const std::string control = fmt::format("control={}", abi::kControlCompatible);
  const std::string takeover = fmt::format("takeover={}", abi::kTakeoverCompatible);
  const std::string_view its_control = take_word(&line);
  const std::string_view its_takeover = take_word(&line);
  answer.ok = its_control == control && its_takeover == takeover;
  answer.warm = heard.substr(end + 1, abi::kTakeoverWarm);
  if (!answer.ok) {
    answer.reason = fmt::format("it speaks {} and {}, this outlived {} and {}", its_control,
                                its_takeover, control, takeover);
  }
  return answer;
}

}  // namespace outlive::machine
