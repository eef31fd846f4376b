// Result<T> and Error: how every fallible function of outlive answers.
//
// The world (peers, files, inherited images) makes an Error; our own broken invariant hits CHECK
// (base/check.h). The code is an errno from the syscall to the wire to the exit text; the message
// is one line that names the thing. Nothing throws.
//
//   Result<UniqueFd> open_it() {
//     UniqueFd fd = TRY(sys::open(path, O_RDONLY).context("configuration"));
//     if (bad) return fail(EINVAL, "line {}: unknown key '{}'", line, key);
//     return fd;
//   }
//
// TRY stands only after `=`, after `return`, or as a whole statement: GCC 12 leaks temporaries of
// aggregate initialisers otherwise. A ctest greps for it.
#pragma once

#include <fmt/format.h>

#include <cerrno>
#include <expected>
#include <string>
#include <utility>

namespace outlive {

struct [[nodiscard]] Error {
  int code = EIO;       // an errno, positive
  std::string message;  // one line, no final full stop

  // "message (ENOENT)"
  std::string text() const;
};

// The symbolic name of an errno ("ENOENT"); "errno 999" for an unknown one.
std::string errno_name(int code);

template <typename... Args>
Error fail(int code, fmt::format_string<Args...> format, Args&&... args) {
  return Error{code, fmt::format(format, std::forward<Args>(args)...)};
}

// The Error of the syscall that failed just now; `what` names the call and its object.
Error fail_errno(std::string_view what);

template <typename T>
class [[nodiscard]] Result {
 public:
  using value_type = T;
  Result(T value) : state_(std::move(value)) {}                       // NOLINT: implicit by design
  Result(Error error) : state_(std::unexpected(std::move(error))) {}  // NOLINT

  explicit operator bool() const { return state_.has_value(); }
  T& value() & { return state_.value(); }
  const T& value() const& { return state_.value(); }
  T&& value() && { return std::move(state_).value(); }
  T& operator*() & { return *state_; }
  const T& operator*() const& { return *state_; }
  T&& operator*() && { return *std::move(state_); }
  T* operator->() { return &*state_; }
  const T* operator->() const { return &*state_; }
  const Error& error() const { return state_.error(); }
  Error take_error() { return std::move(state_.error()); }
  T take() { return std::move(*state_); }

  // Puts "what: " before the message of an error.
  template <typename... Args>
  Result context(fmt::format_string<Args...> format, Args&&... args) && {
    if (!state_) {
      state_.error().message =
          fmt::format(format, std::forward<Args>(args)...) + ": " + state_.error().message;
    }
    return std::move(*this);
  }

 private:
  std::expected<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  using value_type = void;
  Result() = default;
  Result(Error error) : state_(std::unexpected(std::move(error))) {}  // NOLINT
  explicit operator bool() const { return state_.has_value(); }
  const Error& error() const { return state_.error(); }
  Error take_error() { return std::move(state_.error()); }
  void take() {}
  template <typename... Args>
  Result context(fmt::format_string<Args...> format, Args&&... args) && {
    if (!state_) {
      state_.error().message =
          fmt::format(format, std::forward<Args>(args)...) + ": " + state_.error().message;
    }
    return std::move(*this);
  }

 private:
  std::expected<void, Error> state_;
};

using Status = Result<void>;

}  // namespace outlive

#define OUTLIVE_TRY_CAT2(a, b) a##b
#define OUTLIVE_TRY_CAT(a, b) OUTLIVE_TRY_CAT2(a, b)
#define OUTLIVE_TRY(expr, name) \
  __extension__({               \
    auto name = (expr);         \
    if (!name) [[unlikely]]     \
      return name.take_error(); \
    name.take();                \
  })
// The value of a Result, or return its Error to the caller.
#define TRY(...) OUTLIVE_TRY((__VA_ARGS__), OUTLIVE_TRY_CAT(try_result_, __COUNTER__))
