// The C API of outlive.h: memory that is preserved in a session. memory_api.cc has the rest of it.
#include "client/c_handles.h"
#include "client/last_error.h"
#include "client/memory.h"
#include "outlive/outlive.h"

using outlive::fail;
using outlive::Result;
using outlive::Status;
using outlive::UniqueFd;
using outlive::client::Client;
using outlive::client::Memory;
using outlive::client::Regions;
using outlive::client::report;
using outlive::client::Session;
namespace abi = outlive::abi;
namespace wire = outlive::wire;

namespace {

using MemoryPtr = std::unique_ptr<Memory>;

outlive_memory* handle_of(MemoryPtr memory, Regions& regions) {
  std::string name = memory->name();
  auto registration = regions.add(*memory);
  return new outlive_memory{std::move(memory), std::move(name), std::move(registration)};
}

Result<MemoryPtr> create(Session& session, uint64_t token, const char* name, uint64_t size,
                         uint64_t limit) {
  if (name == nullptr) return fail(EINVAL, "the region has no name");
  TRY(wire::check_name(name, "region name"));
  UniqueFd file = TRY(Memory::new_file(name));
  MemoryPtr memory = TRY(Memory::create(std::move(file), name, size, limit));
  TRY(session.preserve(token, memory->file()).context("region '{}'", name));
  return memory;
}

Result<MemoryPtr> preview(UniqueFd file) {
  MemoryPtr memory = TRY(Memory::attach(std::move(file)));
  // Only costs time later when it fails.
  static_cast<void>(memory->populate());
  return memory;
}

Status confirm(Session& session, uint64_t token, const Memory& previewed) {
  const UniqueFd file = TRY(session.retrieve_fd(token));
  const bool same = TRY(previewed.same_file(file));
  if (same) return {};
  return fail(EINVAL, "region '{}' was previewed, and token {} is another file", previewed.name(),
              token);
}

Result<MemoryPtr> open(Session& session, uint64_t token) {
  UniqueFd file = TRY(session.retrieve_fd(token));
  return Memory::attach(std::move(file)).context("token {}", token);
}

int hand_out(Result<MemoryPtr> made, Regions& regions, outlive_memory** memory) {
  if (!made) return report(made.error());
  *memory = handle_of(made.take(), regions);
  return 0;
}

}  // namespace

int outlive_memory_create(outlive_session* session, uint64_t token, const char* name, uint64_t size,
                          uint64_t limit, outlive_memory** memory) {
  Session& impl = *session->session;
  return hand_out(create(impl, token, name, size, limit), *impl.regions(), memory);
}

int outlive_memory_preview(outlive_client* client, int fd, outlive_memory** memory) {
  return hand_out(preview(UniqueFd(fd)), *client->client->regions(), memory);
}

int outlive_memory_open(outlive_session* session, uint64_t token, outlive_memory** memory) {
  Session& impl = *session->session;
  if (*memory == nullptr) return hand_out(open(impl, token), *impl.regions(), memory);
  const auto confirmed = confirm(impl, token, *(*memory)->memory);
  return confirmed ? 0 : report(confirmed.error());
}
