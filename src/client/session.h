// Session: one session connection, and the requests that it knows.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "client/client.h"
#include "client/connection.h"
#include "client/regions.h"

namespace outlive::client {

class Session {
 public:
  // CREATE_SESSION (flags: abi::kFlagLinger, abi::kFlagDirect) and RETRIEVE_SESSION.
  static Result<std::unique_ptr<Session>> create(Client& client, std::string_view name,
                                                 uint32_t flags);
  static Result<std::unique_ptr<Session>> retrieve(Client& client, std::string_view name);
  // Of a RETRIEVE_SESSION that was posted by somebody else (preview.h).
  static std::unique_ptr<Session> from_reply(Reply& reply, Client& client) {
    return std::unique_ptr<Session>(new Session(std::move(reply.fds[0]), client.regions()));
  }
  // A session fd that came another way. ENOTSOCK, EPROTO: it is no session.
  static Result<std::unique_ptr<Session>> from_fd(UniqueFd fd);

  Status preserve(uint64_t token, BorrowedFd fd);
  Status unpreserve(uint64_t token);
  Result<UniqueFd> retrieve_fd(uint64_t token);

  // In parts of abi::kMaxFds, each all or none; `done` counts the parts that were done.
  Status preserve_many(std::span<const uint64_t> tokens, std::span<const BorrowedFd> fds,
                       size_t& done);
  Status unpreserve_many(std::span<const uint64_t> tokens, size_t& done);
  Status retrieve_many(std::span<const uint64_t> tokens, std::vector<UniqueFd>& fds);

  // Of a direct one, once: the kernel's own session (CREATE_SESSION with abi::kFlagDirect).
  Result<UniqueFd> kernel_session();

  // In recorded order.
  Result<std::vector<uint64_t>> tokens();
  Status finish();
  Status adopt();

  const std::shared_ptr<Regions>& regions() const { return regions_; }
  // Gives the fd up; the session lives on.
  int release() { return connection_.release(); }

 private:
  Session(UniqueFd socket, std::shared_ptr<Regions> regions)
      : connection_(std::move(socket)), regions_(std::move(regions)) {}
  static Result<std::unique_ptr<Session>> open(Client& client, abi::Request request,
                                               std::string_view name, uint32_t flags);
  Result<Reply> fd_request(abi::Request request, uint64_t token, const Extras& extras);
  Result<Reply> many_request(abi::Request request, std::span<const uint64_t> tokens, Extras extras);

  Connection connection_;
  std::shared_ptr<Regions> regions_;
};

}  // namespace outlive::client
