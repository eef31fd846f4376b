// Other processes that have the same files open, and files that are on their way in a socket.
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent.h"

namespace abi_agent {
namespace {

constexpr size_t kLongest = 4096;

// A line that a child says and its parent reads.
char* shared_line() {
  static char* const line = static_cast<char*>(
      mmap(nullptr, kLongest, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  if (line == MAP_FAILED) abort();
  return line;
}

struct Envelope {
  char byte = 'x';
  iovec part{&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  Envelope() {
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
  }
};

bool send_fd(int socket, int fd) {
  Envelope envelope;
  cmsghdr* header = CMSG_FIRSTHDR(&envelope.message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof fd);
  memcpy(CMSG_DATA(header), &fd, sizeof fd);
  return sendmsg(socket, &envelope.message, 0) == 1;
}

int receive_fd(int socket) {
  Envelope envelope;
  if (recvmsg(socket, &envelope.message, MSG_DONTWAIT) != 1) return -1;
  const cmsghdr* header = CMSG_FIRSTHDR(&envelope.message);
  int fd = -1;
  errno = ENODATA;
  if (header != nullptr && header->cmsg_type == SCM_RIGHTS)
    memcpy(&fd, CMSG_DATA(header), sizeof fd);
  return fd;
}

std::string pass_now(Agent& agent, const Words& words) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0) return errno_name();
  const bool sent = send_fd(pair[0], agent.fd(word(words, 1)));
  const int fd = sent ? receive_fd(pair[1]) : -1;
  const std::string text = outcome(fd >= 0);
  close(pair[0]);
  close(pair[1]);
  if (fd >= 0) agent.put(word(words, 2), fd);
  return text;
}

std::string queue(Agent& agent, const Words& words) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0) return errno_name();
  const bool sent = send_fd(pair[0], agent.fd(word(words, 2)));
  const std::string text = outcome(sent);
  close(pair[0]);  // what was sent stays in the other one
  agent.put(word(words, 1), pair[1]);
  return text;
}

}  // namespace

std::string Processes::child(Agent& agent, const Words& words) {
  char* const line = shared_line();
  strcpy(line, "died");
  const pid_t pid = fork();
  if (pid < 0) return errno_name();
  if (pid == 0) {
    const std::string text = agent.run(Words(words.begin() + 1, words.end()));
    strncpy(line, text.c_str(), kLongest - 1);
    _exit(0);
  }
  if (waitpid(pid, nullptr, 0) != pid) return errno_name();
  return std::string("child: ") + line;
}

std::string Processes::fork_one(Agent& agent, const std::string& slot) {
  end(agent, slot, true);
  int pair[2];
  if (pipe(pair) != 0) return errno_name();
  const pid_t pid = fork();
  if (pid == 0) {
    char byte;
    _exit(read(pair[0], &byte, 1) == 1 ? 0 : 1);
  }
  const std::string text = outcome(pid > 0);
  close(pair[0]);
  if (pid > 0) {
    agent.children_[slot] = {pid, pair[1]};
  } else {
    close(pair[1]);
  }
  return text;
}

std::string Processes::end(Agent& agent, const std::string& slot, bool kill_it) {
  const auto found = agent.children_.find(slot);
  if (found == agent.children_.end()) return "no such child";
  const Agent::Child child = found->second;
  agent.children_.erase(found);
  if (kill_it || write(child.line, "x", 1) != 1) kill(child.pid, SIGKILL);
  int status = 0;
  waitpid(child.pid, &status, 0);
  close(child.line);
  return WIFSIGNALED(status) ? "killed" : "exit " + std::to_string(WEXITSTATUS(status));
}

void Processes::end_all(Agent& agent) {
  while (!agent.children_.empty()) {
    const std::string slot = agent.children_.begin()->first;
    end(agent, slot, true);
  }
}

std::string Processes::pass(Agent& agent, const Words& words) {
  if (words[0] == "pass") return pass_now(agent, words);
  if (words[0] == "queue") return queue(agent, words);
  const int fd = receive_fd(agent.fd(word(words, 1)));
  if (fd < 0) return errno_name();
  agent.put(word(words, 2), fd);
  return "ok";
}

}  // namespace abi_agent
