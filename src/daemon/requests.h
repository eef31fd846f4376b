// What each request of the socket protocol does (abi/wire.h lists them). One function a request.
//
// Order of checks, as the kernel's: the number is none of the connection's kind: EINVAL; the body's
// size; the session's direction; then the request itself.
// A function that changes something commits its effect and its reply's words in one change and says
// so (Outcome::committed); an Error it returns has changed nothing.
#pragma once

#include <deque>

#include "daemon/connection.h"
#include "daemon/parts.h"

namespace outlive::daemon {

class Device;
class Supervisor;

class Requests {
 public:
  Requests(Parts& parts, Device& device, Supervisor& supervisor)
      : parts_(parts), device_(device), supervisor_(supervisor) {}
  // Takes the fds that it keeps out of the message; the rest is the caller's to close.
  Outcome handle(Connection& connection, wire::Message& message);

  // A PRESERVE that has come again, done and not answered: what was lost of its files before the
  // service manager had it is taken from the message, which still carries it.
  void mend(Connection& connection, wire::Message& message);

  // Nobody holds this direct session any more. True: it has ended, or stays for as long as its
  // client keeps the kernel's one, in the quota and to be found after a kexec.
  bool let_go_direct(luo::Session& session);
  // Each turn: ends those whose client has closed the kernel's one, too.
  void end_gone_direct();

 private:
  using Handler = Result<Outcome> (Requests::*)(Connection&, wire::Message&);
  static Handler device_handler(abi::Request request);
  static Handler session_handler(abi::Request request);

  // device connections (requests_device.cc)
  Result<Outcome> create_session(Connection&, wire::Message&);
  Result<Outcome> retrieve_session(Connection&, wire::Message&);
  Result<Outcome> end_session(Connection&, wire::Message&);
  Result<Outcome> list(Connection&, wire::Message&);
  Result<Outcome> status(Connection&, wire::Message&);
  Result<Outcome> add_subtree(Connection&, wire::Message&);
  Result<Outcome> remove_subtree(Connection&, wire::Message&);
  Result<Outcome> retrieve_subtree(Connection&, wire::Message&);
  Result<Outcome> participate(Connection&, wire::Message&);
  Result<Outcome> ready(Connection&, wire::Message&);
  Result<Outcome> veto(Connection&, wire::Message&);
  Result<Outcome> fd_data_query(Connection&, wire::Message&);
  Result<Outcome> adopt_all(Connection&, wire::Message&);
  Result<Outcome> finish_all(Connection&, wire::Message&);

  // a successor's, until committed (requests_preview.cc)
  Result<Outcome> preview_list(Connection&, wire::Message&);
  Result<Outcome> preview_many(Connection&, wire::Message&);
  Result<luo::Session*> previewed_session(Connection&, const abi::PreviewRequest&);

  // session connections (requests_session.cc)
  Result<Outcome> preserve_fd(Connection&, wire::Message&);
  Result<Outcome> preserve_many(Connection&, wire::Message&);
  Result<Outcome> unpreserve_fd(Connection&, wire::Message&);
  Result<Outcome> unpreserve_many(Connection&, wire::Message&);
  Result<Outcome> retrieve_fd(Connection&, wire::Message&);
  Result<Outcome> retrieve_many(Connection&, wire::Message&);
  Result<Outcome> finish(Connection&, wire::Message&);
  Result<Outcome> adopt(Connection&, wire::Message&);
  Result<Outcome> get_name(Connection&, wire::Message&);
  Result<Outcome> list_files(Connection&, wire::Message&);

  // direct sessions (requests_direct.cc)
  Result<Outcome> kernel_session(Connection&, wire::Message&);
  Status direct_possible() const;
  static bool is_for_plain(abi::Request request);
  bool is_in_kernel(const luo::Session& session) const;

  // The session of a connection, seen in the wanted direction. ESTALE: it has ended, or its holder
  // was replaced; EAGAIN: not offered yet; EINVAL: the other direction.
  Result<luo::Session*> session_of(Connection& connection, luo::Direction wanted);
  // For what changes a session's files: EBUSY past freeze.
  Result<luo::Session*> changeable(Connection& connection);
  Result<luo::Session*> known_session(Connection& connection);
  static bool takes_room(abi::Request request);
  Status check_direction(Connection& connection, const wire::Message& message);
  Result<Outcome> preserve(Connection&, wire::Message&, std::span<const uint64_t> tokens);
  Result<Outcome> unpreserve(Connection&, wire::Message&, std::span<const uint64_t> tokens);
  Result<Outcome> retrieve(Connection&, wire::Message&, std::span<const uint64_t> tokens);
  Result<abi::ServiceSlot*> service_of(Connection& connection);
  Status enabled() const;
  luo::Core::Also reply_words(Connection& connection, const wire::Message& message);
  static Outcome done(std::vector<std::byte> body = {});
  static Outcome echo(const wire::Message& message);

  Parts& parts_;
  Device& device_;
  Supervisor& supervisor_;
  std::deque<uint64_t> left_direct_;  // that stay: addresses, which may be anything by now
  uint64_t next_direct_ns_ = 0;
};

// A reply's body: a structure and an array behind it.
template <typename T, typename Entry = std::byte>
std::vector<std::byte> pack(const T& head, const std::vector<Entry>& tail = {}) {
  const auto* first = reinterpret_cast<const std::byte*>(&head);
  std::vector<std::byte> body(first, first + sizeof head);
  const auto* rest = reinterpret_cast<const std::byte*>(tail.data());
  body.insert(body.end(), rest, rest + tail.size() * sizeof(Entry));
  return body;
}

}  // namespace outlive::daemon
