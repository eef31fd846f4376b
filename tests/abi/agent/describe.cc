// All that can be seen of an open file, in one line.
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent.h"

namespace abi_agent {
namespace {

std::string hex(unsigned long value) {
  char text[24];
  snprintf(text, sizeof text, "%lx", value);
  return text;
}

// FNV-1a; a hole reads as zeros.
std::string digest(int fd, off_t size) {
  uint64_t hash = 0xcbf29ce484222325u;
  char buffer[65536];
  off_t at = 0;
  while (at < size) {
    const ssize_t got = pread(fd, buffer, sizeof buffer, at);
    if (got < 0) return errno_name();
    if (got == 0) break;
    for (ssize_t n = 0; n < got; ++n) {
      hash = (hash ^ static_cast<unsigned char>(buffer[n])) * 0x100000001b3u;
    }
    at += got;
  }
  return hex(hash) + "/" + std::to_string(at);
}

std::string flags_of(int fd) {
  const int descriptor = fcntl(fd, F_GETFD);
  if (descriptor < 0) return errno_name();
  const int open = fcntl(fd, F_GETFL);
  static constexpr const char* kAccess[] = {"r", "w", "rw", "?"};
  return std::string("access=") + kAccess[open & O_ACCMODE] +
         " flags=" + hex(static_cast<unsigned long>(open)) +
         " cloexec=" + std::to_string(descriptor & FD_CLOEXEC);
}

std::string link_of(int fd) {
  char target[256];
  const std::string path = "/proc/self/fd/" + std::to_string(fd);
  const ssize_t size = readlink(path.c_str(), target, sizeof target);
  return size < 0 ? errno_name() : std::string(target, static_cast<size_t>(size));
}

}  // namespace

std::string do_describe(Agent& agent, const Words& words) {
  const int fd = agent.fd(word(words, 1));
  std::string text = flags_of(fd);
  struct stat status;
  if (words[0] == "flags" || fstat(fd, &status) != 0) return text;
  text += " mode=" + hex(status.st_mode);
  if (!S_ISREG(status.st_mode)) return text;
  const off_t position = lseek(fd, 0, SEEK_CUR);
  const int seals = fcntl(fd, F_GET_SEALS);
  text += " links=" + std::to_string(status.st_nlink) + " size=" + std::to_string(status.st_size);
  text += " position=" + (position < 0 ? errno_name() : std::to_string(position));
  text += " seals=" + (seals < 0 ? errno_name() : hex(static_cast<unsigned long>(seals)));
  text += " content=" + digest(fd, status.st_size);
  if (words[0] == "describe-all") {
    text += " blocks=" + std::to_string(status.st_blocks) + " link=" + link_of(fd);
  }
  return text;
}

}  // namespace abi_agent
