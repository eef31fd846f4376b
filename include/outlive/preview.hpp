// outlive::Preview: a successor's look ahead, so that the blackout has no descriptors to move.
//
//   start-up:  preview = Preview::open(client, "web");
//              for (auto& file : preview.added()) ... put it into the epoll, don't wait on it yet
//   preview:   preview.refresh(), and as in adopt: the old one has preserved what was new
//   adopt:     session = preview.retrieve();
//              for (auto token : preview.gone()) ... close that one
//              for (auto& file : preview.added()) ... it came since
//
// Until committed the old one serves with the same open files: look, touch nothing.
#ifndef OUTLIVE_PREVIEW_HPP
#define OUTLIVE_PREVIEW_HPP

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "outlive/client.hpp"
#include "outlive/outlive.h"
#include "outlive/result.hpp"
#include "outlive/session.hpp"
#include "outlive/unique_fd.hpp"

namespace outlive {
inline namespace v0 {

class Preview {
 public:
  struct File {
    Token token;
    UniqueFd fd;
  };

  Preview() = default;
  Preview(Preview&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Preview& operator=(Preview&& other) noexcept {
    if (this != &other) {
      ::outlive_preview_close(handle_);
      handle_ = std::exchange(other.handle_, nullptr);
    }
    return *this;
  }
  Preview(const Preview&) = delete;
  Preview& operator=(const Preview&) = delete;
  ~Preview() { ::outlive_preview_close(handle_); }

  // The client must outlive it.
  static Result<Preview> open(Client& client, const std::string& session) {
    Preview preview;
    const int result = ::outlive_preview_open(client.handle(), session.c_str(), &preview.handle_);
    if (result < 0) return Error::last(result);
    return Result<Preview>(std::move(preview));
  }
  explicit operator bool() const { return handle_ != nullptr; }
  Status refresh() { return detail::status(::outlive_preview_refresh(handle_)); }
  // In adopt: claims the session.
  Result<Session> retrieve() {
    ::outlive_session* session = nullptr;
    const int result = ::outlive_preview_retrieve(handle_, &session);
    if (result < 0) return Error::last(result);
    return Session(session);
  }

  // What came since the last call, in recorded order; the first call: everything.
  std::vector<File> added() {
    std::vector<File> files;
    Token tokens[kRoom];
    int fds[kRoom];
    for (std::size_t count = kRoom; count == kRoom;) {
      count = ::outlive_preview_added(handle_, tokens, fds, kRoom);
      for (std::size_t i = 0; i < count; ++i) files.push_back({tokens[i], UniqueFd(fds[i])});
    }
    return files;
  }
  // What went since the last call. A token that is in both is another file now.
  std::vector<Token> gone() {
    std::vector<Token> all;
    Token tokens[kRoom];
    for (std::size_t count = kRoom; count == kRoom;) {
      count = ::outlive_preview_gone(handle_, tokens, kRoom);
      all.insert(all.end(), tokens, tokens + count);
    }
    return all;
  }

 private:
  static constexpr std::size_t kRoom = 256;
  ::outlive_preview* handle_ = nullptr;
};

}  // namespace v0
}  // namespace outlive
#endif
