// outlive::Client: the connection to outlived.
//
//   auto client = outlive::Client::connect().expect("outlived");
//   auto role = client.participate(my_participant).expect("participate");
//   ... poll client.fd() with your other fds; when it is readable: client.dispatch()
#ifndef OUTLIVE_CLIENT_HPP
#define OUTLIVE_CLIENT_HPP

#include <cerrno>
#include <cstddef>
#include <optional>
#include <string>
#include <utility>

#include "outlive/outlive.h"
#include "outlive/participant.hpp"
#include "outlive/result.hpp"
#include "outlive/session.hpp"

namespace outlive {
inline namespace v0 {

class Client {
 public:
  Client(Client&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Client& operator=(Client&& other) noexcept {
    if (this != &other) {
      ::outlive_disconnect(handle_);
      handle_ = std::exchange(other.handle_, nullptr);
    }
    return *this;
  }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client() { ::outlive_disconnect(handle_); }

  // ENOENT: outlived is not running. ESTALE: it refused what it inherited.
  // runtime_dir: the folder of its sockets, nullptr for the usual places.
  static Result<Client> connect(const char* runtime_dir = nullptr) {
    ::outlive_client* handle = nullptr;
    const int result = ::outlive_connect(runtime_dir, 0, &handle);
    if (result < 0) return Error::last(result);
    return Client(handle);
  }
  // For a service that can run without: no value when outlived is not running.
  static Result<std::optional<Client>> connect_optional(const char* runtime_dir = nullptr) {
    ::outlive_client* handle = nullptr;
    const int result = ::outlive_connect(runtime_dir, OUTLIVE_OPTIONAL, &handle);
    if (result < 0) return Error::last(result);
    if (handle == nullptr) return std::optional<Client>();
    return std::optional<Client>(Client(handle));
  }

  ::outlive_client* handle() const { return handle_; }
  int fd() const { return ::outlive_fd(handle_); }
  // Runs the callbacks of what has arrived; how many events.
  Result<int> dispatch() {
    const int handled = ::outlive_dispatch(handle_);
    if (handled < 0) return Error::last(handled);
    return handled;
  }

  // `participant` must outlive this client.
  Result<Role> participate(Participant& participant) {
    const ::outlive_participant callbacks = detail::c_participant(participant);
    const int role = ::outlive_participate(handle_, &callbacks);
    if (role < 0) return Error::last(role);
    return static_cast<Role>(role);
  }
  // "I serve", or of a successor: "I am ready to adopt".
  Status ready() { return detail::status(::outlive_ready(handle_)); }
  // After committed, one of the two ends the update: all incoming sessions become outgoing ...
  Status adopt_all() { return detail::status(::outlive_adopt_all(handle_)); }
  // ... or are finished, and nothing is preserved.
  Status finish_all() { return detail::status(::outlive_finish_all(handle_)); }
  // Why the callback that is running is about to say no. Returns `code`: return set_reason(...).
  int set_reason(const std::string& reason, int code = -ECANCELED) {
    ::outlive_set_reason(handle_, reason.c_str());
    return code;
  }

  Result<Session> create_session(const std::string& name, bool linger = false) {
    ::outlive_session* session = nullptr;
    const int result =
        ::outlive_session_create(handle_, name.c_str(), linger ? OUTLIVE_LINGER : 0u, &session);
    if (result < 0) return Error::last(result);
    return Session(session);
  }
  // Its files are the kernel's: Session::kernel_session(). EOPNOTSUPP: no /dev/liveupdate.
  Result<Session> create_direct_session(const std::string& name) {
    ::outlive_session* session = nullptr;
    const int result = ::outlive_session_create(handle_, name.c_str(), OUTLIVE_DIRECT, &session);
    if (result < 0) return Error::last(result);
    return Session(session);
  }
  Result<Session> retrieve_session(const std::string& name) {
    ::outlive_session* session = nullptr;
    const int result = ::outlive_session_retrieve(handle_, name.c_str(), &session);
    if (result < 0) return Error::last(result);
    return Session(session);
  }

  // Notes to the next one: small named blobs, at most 16 KiB each.
  Status write_note(const std::string& name, const std::string& bytes) {
    return detail::status(::outlive_note_write(handle_, name.c_str(), bytes.data(), bytes.size()));
  }
  Result<std::string> read_note(const std::string& name) const {
    std::string bytes(16384, '\0');
    const long size = ::outlive_note_read(handle_, name.c_str(), bytes.data(), bytes.size());
    if (size < 0) return Error::last(size);
    bytes.resize(static_cast<std::size_t>(size));
    return bytes;
  }
  Status remove_note(const std::string& name) {
    return detail::status(::outlive_note_remove(handle_, name.c_str()));
  }

 private:
  explicit Client(::outlive_client* handle) : handle_(handle) {}
  ::outlive_client* handle_ = nullptr;
};

}  // namespace v0
}  // namespace outlive
#endif
