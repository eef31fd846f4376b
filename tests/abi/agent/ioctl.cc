// ioctl(2) with bytes of the script's, in memory that ends where the script wants.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>

#include "agent.h"

namespace abi_agent {
namespace {

constexpr size_t kPage = 4096;
constexpr size_t kFdAt = 4;  // where all structures that have a descriptor have it
constexpr unsigned char kFill = 0xa5;

// Three pages; what is behind the third can't be read.
class Memory {
 public:
  Memory() {
    void* map =
        mmap(nullptr, 4 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED) abort();
    base_ = static_cast<unsigned char*>(map);
    mprotect(base_ + 3 * kPage, kPage, PROT_NONE);  // a hole would be filled by others
  }

  // The address to hand over for `kind`, with `bytes` there.
  unsigned long place(const std::string& kind, const std::string& bytes) {
    mprotect(base_, 3 * kPage, PROT_READ | PROT_WRITE);
    memset(base_, kFill, 3 * kPage);
    place_ = nullptr;
    if (kind == "null") return 0;
    if (kind == "low") return 8;
    if (kind == "top") return ~0ul - 15;
    if (kind == "plain") place_ = base_ + kPage + 64;
    if (kind == "end" || kind == "ro")
      place_ = base_ + 3 * kPage - std::min(bytes.size(), 2 * kPage);
    if (kind.starts_with("cross:")) place_ = base_ + 2 * kPage - number(kind.substr(6));
    if (place_ == nullptr) abort();
    memcpy(place_, bytes.data(), std::min(bytes.size(), 2 * kPage));
    if (kind == "ro") mprotect(base_ + kPage, 2 * kPage, PROT_READ);
    if (kind.starts_with("cross:")) mprotect(base_ + 2 * kPage, kPage, PROT_READ);
    before_.assign(base_, base_ + 3 * kPage);
    return reinterpret_cast<unsigned long>(place_);
  }

  bool fd_written() const {
    if (place_ == nullptr || place_ + kFdAt + sizeof(int) > base_ + 3 * kPage) return false;
    return memcmp(place_ + kFdAt, before(place_ + kFdAt), sizeof(int)) != 0;
  }
  int fd() const {
    int fd = -1;
    memcpy(&fd, place_ + kFdAt, sizeof fd);
    return fd;
  }

  // " @8:6162" for every run of bytes that changed, but for the descriptor's.
  std::string changes() const {
    std::string text;
    if (place_ == nullptr) return text;
    bool open = false;
    for (const unsigned char* at = base_; at < base_ + 3 * kPage; ++at) {
      const bool changed = *at != *before(at) && (at < place_ + kFdAt || at >= place_ + kFdAt + 4);
      if (changed && !open) text += " @" + std::to_string(at - place_) + ":";
      open = changed;
      if (!changed) continue;
      char hex[3];
      snprintf(hex, sizeof hex, "%02x", *at);
      text += hex;
    }
    return text;
  }

 private:
  const unsigned char* before(const unsigned char* at) const {
    return &before_[static_cast<size_t>(at - base_)];
  }
  unsigned char* base_;
  unsigned char* place_ = nullptr;
  std::vector<unsigned char> before_;
};

std::string from_hex(const std::string& hex) {
  std::string bytes;
  for (size_t at = 0; at + 1 < hex.size(); at += 2) {
    bytes += static_cast<char>(strtol(hex.substr(at, 2).c_str(), nullptr, 16));
  }
  return bytes;
}

// The number that the next descriptor would get; -1: none.
int lowest_free() {
  const int fd = fcntl(STDOUT_FILENO, F_DUPFD, 0);
  if (fd >= 0) close(fd);
  return fd;
}

// A word for each thing that is special about a descriptor that came out.
std::string look_at(int fd, int expected) {
  const int flags = fcntl(fd, F_GETFD);
  if (flags < 0) return " no-descriptor";
  std::string text = " descriptor";
  if (fd != expected) text += " not-the-lowest";
  if ((flags & FD_CLOEXEC) == 0) text += " not-cloexec";
  return text;
}

}  // namespace

std::string do_ioctl(Agent& agent, const Words& words) {
  static Memory memory;
  std::string bytes = from_hex(word(words, 4));
  std::string into;
  for (size_t n = 5; n < words.size(); ++n) {
    if (words[n].starts_with("into=")) into = words[n].substr(5);
    if (!words[n].starts_with("fd=") || bytes.size() < kFdAt + sizeof(int)) continue;
    const int fd = agent.fd(words[n].substr(3));
    memcpy(&bytes[kFdAt], &fd, sizeof fd);
  }
  const unsigned long address = memory.place(word(words, 3), bytes);
  const int free = lowest_free();
  const auto command = static_cast<unsigned long>(number(word(words, 2)));
  const int result = ioctl(agent.fd(word(words, 1)), command, address);
  std::string text = result > 0 ? std::to_string(result) : outcome(result == 0);
  if (result == 0 && !into.empty()) {
    text += look_at(memory.fd(), free);
    if (fcntl(memory.fd(), F_GETFD) >= 0) agent.put(into, memory.fd());
  } else {
    if (memory.fd_written()) text += " fd-field-written";
    if (lowest_free() != free) text += " leaked";
  }
  return text + memory.changes();
}

}  // namespace abi_agent
