#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

namespace abi_agent {
namespace {

constexpr char kDevice[] = "/dev/liveupdate";

std::string open_device(Agent& agent, const Words& words) {
  const int fd = open(kDevice, static_cast<int>(number(word(words, 2))));
  if (fd < 0) return errno_name();
  agent.put(word(words, 1), fd);
  return "ok";
}

std::string reopen(Agent& agent, const Words& words) {
  const std::string path = "/proc/self/fd/" + std::to_string(agent.fd(word(words, 1)));
  const int fd = open(path.c_str(), static_cast<int>(number(word(words, 3))));
  if (fd < 0) return errno_name();
  agent.put(word(words, 2), fd);
  return "ok";
}

std::string duplicate(Agent& agent, const Words& words) {
  const int fd = dup(agent.fd(word(words, 1)));
  if (fd < 0) return errno_name();
  agent.put(word(words, 2), fd);
  return "ok";
}

std::string make(Agent& agent, const Words& words) {
  const int fd = make_kind(word(words, 2));
  if (fd < 0) return errno_name();
  agent.put(word(words, 1), fd);
  return "ok";
}

// The lowest free number is what the soft limit becomes: there is no room below it.
std::string limit(bool full) {
  rlimit now;
  if (getrlimit(RLIMIT_NOFILE, &now) != 0) return errno_name();
  now.rlim_cur = now.rlim_max;
  if (full) {
    const int lowest = fcntl(STDOUT_FILENO, F_DUPFD, 0);
    if (lowest < 0) return errno_name();
    close(lowest);
    now.rlim_cur = static_cast<rlim_t>(lowest);
  }
  return outcome(setrlimit(RLIMIT_NOFILE, &now) == 0);
}

}  // namespace

std::string errno_name() {
  const char* name = strerrorname_np(errno);
  return name != nullptr ? name : "errno " + std::to_string(errno);
}

std::string outcome(bool good) {
  return good ? "ok" : errno_name();
}

long number(const std::string& word) {
  return strtol(word.c_str(), nullptr, 0);
}

const std::string& word(const Words& words, size_t n) {
  static const std::string none;
  return n < words.size() ? words[n] : none;
}

int Agent::fd(const std::string& slot) const {
  const auto found = slots_.find(slot);
  return found == slots_.end() ? -1 : found->second;
}

void Agent::put(const std::string& slot, int fd) {
  const auto found = slots_.find(slot);
  if (found != slots_.end()) close(found->second);
  slots_[slot] = fd;
}

void Agent::end(bool keep) {
  limit(false);
  Processes::end_all(*this);
  for (const auto& [slot, fd] : slots_) {
    const bool device = slot.starts_with('d');
    if (!keep || device) close(fd);
  }
  slots_.clear();
}

std::string Agent::run(const Words& words) {
  const std::string& verb = word(words, 0);
  if (verb == "seq" || verb == "end" || verb == "keep") {
    end(verb == "keep");
    return verb;
  }
  if (verb == "open") return open_device(*this, words);
  if (verb == "ioctl") return do_ioctl(*this, words);
  if (verb == "close") {
    const int fd = this->fd(word(words, 1));
    slots_.erase(word(words, 1));
    return outcome(close(fd) == 0);
  }
  if (verb == "dup") return duplicate(*this, words);
  if (verb == "reopen") return reopen(*this, words);
  if (verb == "make") return make(*this, words);
  if (verb == "pass" || verb == "queue" || verb == "unqueue") return Processes::pass(*this, words);
  if (verb == "child") return Processes::child(*this, words);
  if (verb == "fork") return Processes::fork_one(*this, word(words, 1));
  if (verb == "reap" || verb == "kill")
    return Processes::end(*this, word(words, 1), verb == "kill");
  if (verb == "full" || verb == "room") return limit(verb == "full");
  if (verb == "flags" || verb.starts_with("describe")) return do_describe(*this, words);
  return do_file(*this, words);
}

}  // namespace abi_agent
