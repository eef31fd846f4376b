// UniqueFd owns a file descriptor, BorrowedFd uses one. No other type carries an fd outside base/.
//
// Both are plain numbers inside: an fd kept for a client in the table that keeper, spare, worker
// and closer share (docs/architecture.md) is *held by a record*, not by a UniqueFd of the worker;
// the record's owner releases it.
#pragma once

#include <utility>

namespace outlive {

class BorrowedFd {
 public:
  constexpr BorrowedFd() = default;
  constexpr explicit BorrowedFd(int number) : number_(number) {}
  constexpr int get() const { return number_; }
  constexpr bool valid() const { return number_ >= 0; }
  friend constexpr bool operator==(BorrowedFd, BorrowedFd) = default;
  friend constexpr auto operator<=>(BorrowedFd, BorrowedFd) = default;

 private:
  int number_ = -1;
};

class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int number) : number_(number) {}
  UniqueFd(UniqueFd&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) {
      reset();
      number_ = std::exchange(other.number_, -1);
    }
    return *this;
  }
  UniqueFd(const UniqueFd&) = delete;
  UniqueFd& operator=(const UniqueFd&) = delete;
  ~UniqueFd() { reset(); }

  int get() const { return number_; }
  bool valid() const { return number_ >= 0; }
  explicit operator bool() const { return valid(); }
  BorrowedFd borrow() const { return BorrowedFd(number_); }
  operator BorrowedFd() const { return borrow(); }  // NOLINT: lending is always safe to spell
  // Closes what it owns. errno is kept.
  void reset();
  // Gives ownership up; the caller closes.
  [[nodiscard]] int release() { return std::exchange(number_, -1); }

 private:
  int number_ = -1;
};

}  // namespace outlive
