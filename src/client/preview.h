// Preview: the descriptors of a session's files, fetched by a successor while the old one serves.
// In the blackout it is brought up to date, which costs one round trip when nothing has changed.
//
// Happy path:   open() (slow start-up) -> refresh() as often as wanted -> retrieve() (in adopt):
//               claims the session, and is exact from then on, since the session is frozen
// Unhappy path: a failed refresh() or retrieve() leaves it as it was, and may be repeated
//
// A file is known by its order number, which is never used again: a token that was unpreserved and
// preserved anew shows as gone and as added.
#pragma once

#include <algorithm>
#include <deque>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "client/client.h"
#include "client/session.h"

namespace outlive::client {

class Preview {
 public:
  // EINVAL: not of a successor before `committed`; ENOENT: no such session.
  static Result<std::unique_ptr<Preview>> open(Client& client, std::string_view name);
  Status refresh(Client& client);
  // EAGAIN: not offered yet.
  Result<std::unique_ptr<Session>> retrieve(Client& client);

  struct File {
    uint64_t token;
    UniqueFd fd;
  };
  // What came and what went since it was last taken, each in recorded order; at most `room`.
  std::vector<File> take_added(size_t room) { return take_front(added_, room); }
  std::vector<uint64_t> take_gone(size_t room) { return take_front(gone_, room); }

 private:
  explicit Preview(std::string name) : name_(std::move(name)) {}
  abi::PreviewRequest request() const;
  Result<std::vector<abi::PreviewEntry>> list_rest(Client& client, const Reply& first) const;
  Status take(Client& client, std::vector<abi::PreviewEntry> now);
  template <typename T>
  static std::vector<T> take_front(std::deque<T>& from, size_t room) {
    const auto end = from.begin() + static_cast<std::ptrdiff_t>(std::min(room, from.size()));
    std::vector<T> front(std::make_move_iterator(from.begin()), std::make_move_iterator(end));
    from.erase(from.begin(), end);
    return front;
  }
  Result<std::vector<UniqueFd>> fetch_part(Client& client, std::span<const uint64_t> tokens) const;
  // Of tokens[i], or no descriptor: it has gone meanwhile.
  Result<std::vector<UniqueFd>> fetch(Client& client, std::span<const uint64_t> tokens) const;

  std::string name_;
  std::vector<abi::PreviewEntry> known_;  // by order
  std::deque<File> added_;                // not taken yet
  std::deque<uint64_t> gone_;
};

}  // namespace outlive::client
