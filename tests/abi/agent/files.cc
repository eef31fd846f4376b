// What a program does to a file that it preserves, before and after.
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent.h"

namespace abi_agent {
namespace {

#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x0020
#endif

// `size` bytes; no two seeds alike.
std::string pattern(size_t size, unsigned seed) {
  std::string text(size, '\0');
  unsigned state = seed * 2654435761u + 1;
  for (char& byte : text) {
    state = state * 1664525u + 1013904223u;
    byte = static_cast<char>(state >> 24);
  }
  return text;
}

std::string wrote(ssize_t size) {
  return size < 0 ? errno_name() : "wrote " + std::to_string(size);
}

// Only where the file has bytes: a store behind its end is the end of the program.
std::string store(int fd, off_t at, int byte) {
  struct stat status;
  if (fstat(fd, &status) != 0) return errno_name();
  if (!S_ISREG(status.st_mode) || at >= status.st_size) return "nothing there";
  const off_t page = at & ~off_t{4095};
  void* map = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, page);
  if (map == MAP_FAILED) return errno_name();
  static_cast<volatile char*>(map)[at - page] = static_cast<char>(byte);
  munmap(map, 4096);
  return "ok";
}

std::string new_memfd(Agent& agent, const Words& words) {
  const int fd = memfd_create("agent", static_cast<unsigned>(number(word(words, 2))));
  if (fd < 0) return errno_name();
  agent.put(word(words, 1), fd);
  return "ok";
}

}  // namespace

std::string do_file(Agent& agent, const Words& words) {
  const std::string& verb = words[0];
  const auto value = [&](size_t n) { return number(word(words, n)); };
  if (verb == "memfd") return new_memfd(agent, words);
  const int fd = agent.fd(word(words, 1));
  if (verb == "truncate") return outcome(ftruncate(fd, value(2)) == 0);
  if (verb == "write") {
    const std::string text =
        pattern(static_cast<size_t>(value(3)), static_cast<unsigned>(value(4)));
    return wrote(pwrite(fd, text.data(), text.size(), value(2)));
  }
  if (verb == "append") {
    const std::string text =
        pattern(static_cast<size_t>(value(2)), static_cast<unsigned>(value(3)));
    return wrote(write(fd, text.data(), text.size()));
  }
  if (verb == "seek") {
    const off_t at = lseek(fd, value(2), SEEK_SET);
    return at < 0 ? errno_name() : std::to_string(at);
  }
  if (verb == "seals") return outcome(fcntl(fd, F_ADD_SEALS, value(2)) == 0);
  if (verb == "fallocate") {
    return outcome(fallocate(fd, static_cast<int>(value(2)), value(3), value(4)) == 0);
  }
  if (verb == "store") return store(fd, value(2), static_cast<int>(value(3)));
  return "unknown request";
}

}  // namespace abi_agent
