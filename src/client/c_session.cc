// The C API of outlive.h: sessions.
#include <algorithm>

#include "client/c_handles.h"
#include "client/last_error.h"
#include "outlive/outlive.h"

using outlive::BorrowedFd;
using outlive::Error;
using outlive::fail;
using outlive::Result;
using outlive::Status;
using outlive::UniqueFd;
using outlive::client::report;
using outlive::client::Session;
namespace abi = outlive::abi;

namespace {

int status_of(const Status& status) {
  return status ? 0 : report(status.error());
}

int hand_out(Result<std::unique_ptr<Session>> made, outlive_session** session) {
  if (!made) return report(made.error());
  *session = new outlive_session{made.take()};
  return 0;
}

Error null_argument(const char* function) {
  return fail(EINVAL, "{}: an argument is NULL", function);
}

}  // namespace

int outlive_session_create(outlive_client* client, const char* name, unsigned flags,
                           outlive_session** session) {
  if (name == nullptr || session == nullptr) return report(null_argument(__func__));
  if ((flags & ~(OUTLIVE_LINGER | OUTLIVE_DIRECT)) != 0) {
    return report(fail(EINVAL, "unknown flags {:#x}", flags));
  }
  uint32_t wire_flags = (flags & OUTLIVE_LINGER) != 0 ? abi::kFlagLinger : 0;
  if ((flags & OUTLIVE_DIRECT) != 0) wire_flags |= abi::kFlagDirect;
  return hand_out(Session::create(*client->client, name, wire_flags), session);
}

int outlive_session_retrieve(outlive_client* client, const char* name, outlive_session** session) {
  if (name == nullptr || session == nullptr) return report(null_argument(__func__));
  return hand_out(Session::retrieve(*client->client, name), session);
}

int outlive_session_from_fd(int fd, outlive_session** session) {
  return hand_out(Session::from_fd(UniqueFd(fd)), session);
}

void outlive_session_close(outlive_session* session) {
  delete session;
}

int outlive_session_detach(outlive_session* session) {
  const int fd = session->session->release();
  delete session;
  return fd;
}

int outlive_preserve(outlive_session* session, uint64_t token, int fd) {
  return status_of(session->session->preserve(token, BorrowedFd(fd)));
}

int outlive_unpreserve(outlive_session* session, uint64_t token) {
  return status_of(session->session->unpreserve(token));
}

int outlive_retrieve(outlive_session* session, uint64_t token) {
  auto fd = session->session->retrieve_fd(token);
  if (!fd) return report(fd.error());
  return (*fd).release();
}

int outlive_preserve_many(outlive_session* session, const uint64_t* tokens, const int* fds,
                          size_t count, size_t* done) {
  std::vector<BorrowedFd> borrowed(count);
  std::transform(fds, fds + count, borrowed.begin(), [](int fd) { return BorrowedFd(fd); });
  size_t preserved = 0;
  const auto status = session->session->preserve_many({tokens, count}, borrowed, preserved);
  if (done != nullptr) *done = preserved;
  return status_of(status);
}

int outlive_unpreserve_many(outlive_session* session, const uint64_t* tokens, size_t count,
                            size_t* done) {
  size_t unpreserved = 0;
  const auto status = session->session->unpreserve_many({tokens, count}, unpreserved);
  if (done != nullptr) *done = unpreserved;
  return status_of(status);
}

int outlive_retrieve_many(outlive_session* session, const uint64_t* tokens, int* fds, size_t count,
                          size_t* done) {
  std::vector<UniqueFd> retrieved;
  const auto status = session->session->retrieve_many({tokens, count}, retrieved);
  for (size_t i = 0; i < retrieved.size(); ++i) fds[i] = retrieved[i].release();
  if (done != nullptr) *done = retrieved.size();
  return status_of(status);
}

int outlive_kernel_session(outlive_session* session) {
  auto fd = session->session->kernel_session();
  if (!fd) return report(fd.error());
  return (*fd).release();
}

long outlive_tokens(outlive_session* session, uint64_t* tokens, size_t room) {
  const auto all = session->session->tokens();
  if (!all) return report(all.error());
  const auto& list = all.value();
  std::copy_n(list.begin(), std::min(room, list.size()), tokens);
  return static_cast<long>(list.size());
}

int outlive_finish(outlive_session* session) {
  return status_of(session->session->finish());
}
int outlive_adopt(outlive_session* session) {
  return status_of(session->session->adopt());
}
