// The C API of outlive.h: connection, taking part, notes.
#include <stdlib.h>
#include <string.h>

#include <algorithm>

#include "client/c_handles.h"
#include "client/connect.h"
#include "client/last_error.h"
#include "outlive/outlive.h"

using outlive::Error;
using outlive::fail;
using outlive::Result;
using outlive::Status;
using outlive::client::Client;
using outlive::client::report;
namespace abi = outlive::abi;
namespace wire = outlive::wire;

namespace {

int status_of(const Status& status) {
  return status ? 0 : report(status.error());
}

Result<abi::SubtreeRequest> note_request(const char* name) {
  if (name == nullptr) return fail(EINVAL, "a note's name is NULL");
  TRY(wire::check_name(name, "note name"));
  auto request = wire::sized<abi::SubtreeRequest>();
  wire::write_name(name, request.name);
  return request;
}

Status note_write(Client& client, const char* name, std::span<const std::byte> bytes) {
  auto request = TRY(note_request(name));
  if (bytes.size() > abi::kMaxSubtreeBytes) {
    return fail(EFBIG, "note '{}': {} bytes, at most {}", name, bytes.size(),
                abi::kMaxSubtreeBytes);
  }
  request.length = static_cast<uint32_t>(bytes.size());
  TRY(client.call(abi::Request::kAddSubtree, request, {.tail = bytes}));
  return {};
}

Result<std::vector<std::byte>> note_read(Client& client, const char* name) {
  const auto request = TRY(note_request(name));
  const auto reply = TRY(client.call(abi::Request::kRetrieveSubtree, request));
  const auto body = TRY(wire::read_body<abi::SubtreeRequest>(reply.body).context("note"));
  return wire::read_tail<std::byte>(reply.body, body.length).context("note '{}'", name);
}

Status note_remove(Client& client, const char* name) {
  const auto request = TRY(note_request(name));
  TRY(client.call(abi::Request::kRemoveSubtree, request));
  return {};
}

Result<outlive_client*> connect(const char* runtime_dir, unsigned flags) {
  if ((flags & ~OUTLIVE_OPTIONAL) != 0) return fail(EINVAL, "unknown flags {:#x}", flags);
  std::optional<std::string> dir;
  if (runtime_dir != nullptr) dir = runtime_dir;
  const bool optional = (flags & OUTLIVE_OPTIONAL) != 0;
  auto socket = TRY(outlive::client::connect_device(dir, optional));
  if (!socket) return static_cast<outlive_client*>(nullptr);
  auto client = TRY(Client::create(std::move(*socket)));
  return new outlive_client{std::move(client)};
}

}  // namespace

const char* outlive_version(void) {
  return OUTLIVE_VERSION;
}

int outlive_connect(const char* runtime_dir, unsigned flags, outlive_client** client) {
  if (client == nullptr) return report(fail(EINVAL, "outlive_connect: client is NULL"));
  auto connected = connect(runtime_dir, flags);
  if (!connected) return report(connected.error());
  *client = *connected;
  return 0;
}

void outlive_disconnect(outlive_client* client) {
  if (client == nullptr) return;
  // From a callback: dispatch still uses it, and does the rest.
  if (client->client->dispatching()) {
    client->doomed = true;
    return;
  }
  delete client;
}

int outlive_fd(const outlive_client* client) {
  return client->client->poll_fd().get();
}

int outlive_dispatch(outlive_client* client) {
  const auto handled = client->client->dispatch();
  if (client->doomed && !client->client->dispatching()) delete client;
  if (!handled) return report(handled.error());
  return static_cast<int>(*handled);
}

int outlive_participate(outlive_client* client, const struct outlive_participant* p) {
  if (p == nullptr) return report(fail(EINVAL, "outlive_participate: the participant is NULL"));
  const auto instance = outlive::client::parse_instance(::getenv("OUTLIVE_INSTANCE"));
  if (!instance) return report(instance.error());
  const auto role = client->client->participate(*p, *instance);
  if (!role) return report(role.error());
  return static_cast<int>(*role);
}

int outlive_ready(outlive_client* client) {
  return status_of(client->client->ready());
}
int outlive_adopt_all(outlive_client* client) {
  return status_of(client->client->adopt_all());
}
int outlive_finish_all(outlive_client* client) {
  return status_of(client->client->finish_all());
}

void outlive_set_reason(outlive_client* client, const char* reason) {
  client->client->participation().set_reason(reason == nullptr ? "" : reason);
}

int outlive_note_write(outlive_client* client, const char* name, const void* bytes, size_t size) {
  return status_of(note_write(*client->client, name, {static_cast<const std::byte*>(bytes), size}));
}

long outlive_note_read(outlive_client* client, const char* name, void* into, size_t room) {
  const auto note = note_read(*client->client, name);
  if (!note) return report(note.error());
  const size_t size = std::min(room, note.value().size());
  if (size != 0) memcpy(into, note.value().data(), size);
  return static_cast<long>(note.value().size());
}

int outlive_note_remove(outlive_client* client, const char* name) {
  return status_of(note_remove(*client->client, name));
}
