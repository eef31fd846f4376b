// outlive::Result<T>: a value, or an error with its errno and one line of text. Nothing throws.
//
//   auto client = outlive::Client::connect();
//   if (!client) { log(client.error().text()); return; }
//   client->dispatch();
//
// Small programs may say outlive::Client::connect().expect("outlived"): print and exit(1).
#ifndef OUTLIVE_RESULT_HPP
#define OUTLIVE_RESULT_HPP

#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>
#include <variant>

#include "outlive/outlive.h"

namespace outlive {
inline namespace v0 {

class Error {
 public:
  Error(int code, std::string text) : code_(code), text_(std::move(text)) {}
  int code() const { return code_; }  // an errno, positive
  const std::string& text() const { return text_; }

  // Of the C function that has just returned `result`, a negative errno.
  static Error last(long result) { return Error(static_cast<int>(-result), outlive_error()); }

 private:
  int code_;
  std::string text_;
};

namespace detail {
[[noreturn]] inline void exit_with(const char* what, const Error& error) {
  std::fprintf(stderr, "%s: %s\n", what, error.text().c_str());
  std::exit(1);
}
}  // namespace detail

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}      // NOLINT: implicit
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT

  explicit operator bool() const { return state_.index() == 0; }
  // Only after the check.
  T& operator*() & { return *std::get_if<0>(&state_); }
  const T& operator*() const& { return *std::get_if<0>(&state_); }
  T&& operator*() && { return std::move(*std::get_if<0>(&state_)); }
  T* operator->() { return std::get_if<0>(&state_); }
  const T* operator->() const { return std::get_if<0>(&state_); }
  const Error& error() const { return *std::get_if<1>(&state_); }

  T expect(const char* what) && {
    if (!*this) detail::exit_with(what, error());
    return std::move(**this);
  }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() : state_(std::in_place_index<0>) {}
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT: implicit
  explicit operator bool() const { return state_.index() == 0; }
  const Error& error() const { return *std::get_if<1>(&state_); }
  void expect(const char* what) const {
    if (!*this) detail::exit_with(what, error());
  }
  // What a callback returns: 0 or -errno.
  int code() const { return *this ? 0 : -error().code(); }

 private:
  std::variant<std::monostate, Error> state_;
};

using Status = Result<void>;

namespace detail {
inline Status status(int result) {
  return result < 0 ? Status(Error::last(result)) : Status();
}
}  // namespace detail

}  // namespace v0
}  // namespace outlive
#endif
