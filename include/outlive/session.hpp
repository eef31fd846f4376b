// outlive::Session: a named container of preserved files. Closing an outgoing one (the destructor)
// unpreserves its files; a lingering one stays for the next to retrieve.
#ifndef OUTLIVE_SESSION_HPP
#define OUTLIVE_SESSION_HPP

#include <sys/socket.h>

#include <cerrno>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "outlive/outlive.h"
#include "outlive/result.hpp"
#include "outlive/unique_fd.hpp"

namespace outlive {
inline namespace v0 {

using Token = std::uint64_t;

class Session {
 public:
  Session() = default;
  explicit Session(::outlive_session* handle) : handle_(handle) {}  // takes it
  Session(Session&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Session& operator=(Session&& other) noexcept {
    if (this != &other) {
      ::outlive_session_close(handle_);
      handle_ = std::exchange(other.handle_, nullptr);
    }
    return *this;
  }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  ~Session() { ::outlive_session_close(handle_); }

  // From a session fd that came another way, and back into one.
  static Result<Session> from_fd(UniqueFd fd) {
    ::outlive_session* handle = nullptr;
    const int result = ::outlive_session_from_fd(fd.release(), &handle);
    if (result < 0) return Error::last(result);
    return Session(handle);
  }
  UniqueFd detach() { return UniqueFd(::outlive_session_detach(std::exchange(handle_, nullptr))); }

  explicit operator bool() const { return handle_ != nullptr; }
  ::outlive_session* handle() const { return handle_; }

  // A copy of `fd` is kept under `token`. Preserve what others depend on first.
  Status preserve(Token token, int fd) {
    return detail::status(::outlive_preserve(handle_, token, fd));
  }
  Status preserve(Token token, const UniqueFd& fd) { return preserve(token, fd.get()); }
  Status unpreserve(Token token) { return detail::status(::outlive_unpreserve(handle_, token)); }
  Result<UniqueFd> retrieve(Token token) {
    const int fd = ::outlive_retrieve(handle_, token);
    if (fd < 0) return Error::last(fd);
    return UniqueFd(fd);
  }
  // Any number; all or none in parts of 253.
  Status preserve(const std::vector<Token>& tokens, const std::vector<int>& fds) {
    if (tokens.size() != fds.size()) return Error(EINVAL, "as many tokens as descriptors");
    return detail::status(
        ::outlive_preserve_many(handle_, tokens.data(), fds.data(), fds.size(), nullptr));
  }
  Status unpreserve(const std::vector<Token>& tokens) {
    return detail::status(
        ::outlive_unpreserve_many(handle_, tokens.data(), tokens.size(), nullptr));
  }
  Result<std::vector<UniqueFd>> retrieve(const std::vector<Token>& tokens) {
    std::vector<int> numbers(tokens.size(), -1);
    const int result =
        ::outlive_retrieve_many(handle_, tokens.data(), numbers.data(), numbers.size(), nullptr);
    std::vector<UniqueFd> fds;
    fds.reserve(numbers.size());
    for (const int number : numbers) fds.emplace_back(number);
    if (result < 0) return Error::last(result);
    return fds;
  }
  // The tokens, in the order in which they were preserved.
  Result<std::vector<Token>> tokens() const {
    std::vector<Token> all(256);
    for (;;) {
      const long count = ::outlive_tokens(handle_, all.data(), all.size());
      if (count < 0) return Error::last(count);
      const bool complete = static_cast<std::size_t>(count) <= all.size();
      all.resize(static_cast<std::size_t>(count));
      if (complete) return all;
    }
  }
  // Closes a preserved connection for good. While outlived holds a copy, close() alone would leave
  // the peer waiting for an end that never comes.
  Status drop(Token token, UniqueFd fd) {
    ::shutdown(fd.get(), SHUT_RDWR);
    return unpreserve(token);
  }

  // Of a direct one, once: the kernel's session, see outlive_kernel_session().
  Result<UniqueFd> kernel_session() {
    const int fd = ::outlive_kernel_session(handle_);
    if (fd < 0) return Error::last(fd);
    return UniqueFd(fd);
  }

  Status finish() { return detail::status(::outlive_finish(handle_)); }
  Status adopt() { return detail::status(::outlive_adopt(handle_)); }

 private:
  ::outlive_session* handle_ = nullptr;
};

}  // namespace v0
}  // namespace outlive
#endif
