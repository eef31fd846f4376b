#include "client/session.h"

#include <algorithm>
#include <deque>
#include <optional>

#include "base/sys.h"

namespace outlive::client {

Result<std::unique_ptr<Session>> Session::open(Client& client, abi::Request request,
                                               std::string_view name, uint32_t flags) {
  TRY(wire::check_name(name, "session name"));
  auto body = wire::sized<abi::SessionRequest>();
  wire::write_name(name, body.name);
  Reply reply = TRY(client.call(request, body, {.flags = flags, .reply_fds = 1}));
  return from_reply(reply, client);
}

Result<std::unique_ptr<Session>> Session::create(Client& client, std::string_view name,
                                                 uint32_t flags) {
  return open(client, abi::Request::kCreateSession, name, flags);
}

Result<std::unique_ptr<Session>> Session::retrieve(Client& client, std::string_view name) {
  return open(client, abi::Request::kRetrieveSession, name, 0);
}

Result<std::unique_ptr<Session>> Session::from_fd(UniqueFd fd) {
  const int type = TRY(sys::get_int_option(fd, SOL_SOCKET, SO_TYPE).context("session fd"));
  if (type != SOCK_SEQPACKET) return fail(EPROTO, "fd {} is no session", fd.get());
  TRY(sys::set_cloexec(fd, true));
  std::unique_ptr<Session> session(new Session(std::move(fd), std::make_shared<Regions>()));
  TRY(session->connection_.learn_sequence());
  return session;
}

Result<Reply> Session::fd_request(abi::Request request, uint64_t token, const Extras& extras) {
  auto body = wire::sized<abi::FdRequest>();
  body.fd = -1;
  body.token = token;
  return connection_.call(request, body, extras);
}

Status Session::preserve(uint64_t token, BorrowedFd fd) {
  // The kernel would refuse to send it, and name no token.
  if (!sys::get_fd_flags(fd)) return fail(EBADF, "token {}: fd {} is not open", token, fd.get());
  TRY(fd_request(abi::Request::kPreserveFd, token, {.fds = std::span(&fd, 1)}));
  return {};
}

Status Session::unpreserve(uint64_t token) {
  TRY(fd_request(abi::Request::kUnpreserveFd, token, {}));
  return {};
}

Result<UniqueFd> Session::retrieve_fd(uint64_t token) {
  Reply reply = TRY(fd_request(abi::Request::kRetrieveFd, token, {.reply_fds = 1}));
  return std::move(reply.fds[0]);
}

Result<Reply> Session::many_request(abi::Request request, std::span<const uint64_t> tokens,
                                    Extras extras) {
  auto body = wire::sized<abi::ManyRequest>();
  body.count = static_cast<uint32_t>(tokens.size());
  extras.tail = std::as_bytes(tokens);
  return connection_.call(request, body, extras);
}

Status Session::preserve_many(std::span<const uint64_t> tokens, std::span<const BorrowedFd> fds,
                              size_t& done) {
  for (done = 0; done < tokens.size();) {
    const size_t count = std::min(tokens.size() - done, abi::kMaxFds);
    const auto part = fds.subspan(done, count);
    for (const BorrowedFd fd : part) {
      if (!sys::get_fd_flags(fd)) return fail(EBADF, "fd {} is not open", fd.get());
    }
    TRY(many_request(abi::Request::kPreserveMany, tokens.subspan(done, count), {.fds = part}));
    done += count;
  }
  return {};
}

Status Session::unpreserve_many(std::span<const uint64_t> tokens, size_t& done) {
  for (done = 0; done < tokens.size();) {
    const size_t count = std::min(tokens.size() - done, abi::kMaxFds);
    TRY(many_request(abi::Request::kUnpreserveMany, tokens.subspan(done, count), {}));
    done += count;
  }
  return {};
}

// Inside a blackout: parts are posted ahead, so that outlived and we work at the same time.
Status Session::retrieve_many(std::span<const uint64_t> tokens, std::vector<UniqueFd>& fds) {
  constexpr size_t kMostAhead = 8;
  struct Part {
    uint64_t sequence;
    size_t count;
  };
  std::deque<Part> posted;
  std::optional<Error> failed;
  for (size_t asked = 0; asked < tokens.size() || !posted.empty();) {
    if (!failed && asked < tokens.size() && posted.size() < kMostAhead) {
      const size_t count = std::min(tokens.size() - asked, abi::kMaxFds);
      auto body = wire::sized<abi::ManyRequest>();
      body.count = static_cast<uint32_t>(count);
      const auto part = std::as_bytes(tokens.subspan(asked, count));
      Result<uint64_t> sequence =
          connection_.post(abi::Request::kRetrieveMany, wire::bytes_of(body), {.tail = part});
      if (sequence) {
        posted.push_back({*sequence, count});
        asked += count;
      } else {
        failed = sequence.take_error();
      }
      continue;
    }
    if (posted.empty()) break;
    // Every reply is collected, also behind one that failed: its descriptors are closed then.
    Result<Reply> reply = connection_.collect(posted.front().sequence, posted.front().count);
    posted.pop_front();
    if (!reply && !failed) failed = reply.take_error();
    if (reply && !failed) std::ranges::move(reply->fds, std::back_inserter(fds));
  }
  if (failed) return *failed;
  return {};
}

Result<std::vector<uint64_t>> Session::tokens() {
  std::vector<uint64_t> tokens;
  auto request = wire::sized<abi::ListRequest>();
  do {
    const Reply reply = TRY(connection_.call(abi::Request::kListFiles, request));
    const auto list = TRY(wire::read_body<abi::ListReply>(reply.body).context("LIST_FILES"));
    const auto files =
        TRY(wire::read_tail<abi::FileEntry>(reply.body, list.count).context("LIST_FILES"));
    for (const auto& file : files) tokens.push_back(file.token);
    if (list.next != 0 && files.empty()) return fail(EPROTO, "LIST_FILES: an empty part");
    request.after = list.next;
  } while (request.after != 0);
  return tokens;
}

Result<UniqueFd> Session::kernel_session() {
  Reply reply = TRY(connection_.call(abi::Request::kKernelSession, wire::sized<abi::SizeOnly>(),
                                     {.reply_fds = 1}));
  TRY(sys::set_cloexec(reply.fds[0], true));
  return std::move(reply.fds[0]);
}

Status Session::finish() {
  TRY(connection_.call(abi::Request::kFinish, wire::sized<abi::FinishRequest>()));
  return {};
}

Status Session::adopt() {
  TRY(connection_.call(abi::Request::kAdopt, wire::sized<abi::SizeOnly>()));
  return {};
}

}  // namespace outlive::client
