#include "compat/device.h"

#include <string.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/sys.h"

namespace outlive::compat {
namespace {

using abi::CompatKind;

constexpr size_t kWord = 8;
static_assert(abi::kSessionNameLength % kWord == 0);

template <typename T>
T read_body(std::span<const std::byte> body) {
  T value{};
  memcpy(&value, body.data(), std::min(body.size(), sizeof value));
  return value;
}

template <typename T>
Device::Answer answer_with(const T& value) {
  Device::Answer answer;
  const auto bytes = std::as_bytes(std::span(&value, 1));
  answer.body.assign(bytes.begin(), bytes.end());
  return answer;
}

std::string_view name_in(const abi::SessionRequest& request) {
  const char* name = reinterpret_cast<const char*>(request.name);
  return {name, strnlen(name, sizeof request.name)};
}

}  // namespace

Result<std::unique_ptr<Device>> Device::create(Kernel kernel) {
  Handles handles = TRY(Handles::create());
  std::unique_ptr<Device> made(new Device(kernel, std::move(handles)));
  made->kernel_core_ = TRY(KernelCore::create(kernel));
  return made;
}

luo::Session* Device::session_of(const Object& object) {
  return kernel_core_->core().sessions().at(object.session);
}

void Device::drain() {
  for (const uint64_t cookie : handles_.take_closed()) {
    const auto found = objects_.find(cookie);
    if (found == objects_.end()) continue;
    const Object object = found->second;
    objects_.erase(found);
    end(object);
  }
}

void Device::end(const Object& object) {
  if (object.dead) return;
  if (object.device) {
    in_use_ = false;
    return;
  }
  luo::Session* session = session_of(object);
  if (session == nullptr) return;
  luo::Core& core = kernel_core_->core();
  const bool incoming = core.sessions().direction(*session) == luo::Direction::kIncoming;
  const Status ended = core.end_session(*session, incoming);
  if (!ended) log_warning("session '{}' on close: {}", session->name, ended.error().message);
}

CompatKind Device::look(uint64_t cookie) {
  if (cookie == 0) return faults_.absent ? CompatKind::kAbsent : CompatKind::kDevice;
  const auto found = objects_.find(cookie);
  if (found == objects_.end()) return CompatKind::kNone;
  const Object& object = found->second;
  if (object.dead) return CompatKind::kDead;
  if (object.device) return CompatKind::kDevice;
  const luo::Session* session = session_of(object);
  if (session == nullptr) return CompatKind::kDead;
  return kernel_core_->core().sessions().direction(*session) == luo::Direction::kIncoming
             ? CompatKind::kIncoming
             : CompatKind::kOutgoing;
}

Result<UniqueFd> Device::open() {
  if (faults_.absent) return fail(ENOENT, "absent");
  if (in_use_) return fail(EBUSY, "the device is open");
  if (faults_.corrupt) return fail(EIO, "what came in is corrupt");
  Handles::Handle handle = TRY(handles_.make());
  objects_[handle.cookie] = {.device = true};
  in_use_ = true;
  return std::move(handle.fd);
}

Result<Device::Answer> Device::execute(uint64_t cookie, uint32_t number,
                                       std::span<const std::byte> body, Result<UniqueFd> file) {
  const auto found = objects_.find(cookie);
  if (found == objects_.end()) return fail(EBADF, "no descriptor of this device");
  if (found->second.dead) return fail(ESTALE, "a descriptor of before the reboot");
  if (found->second.device) {
    if (number == abi::kIoctlCreateSession) return create_session(body);
    return retrieve_session(body);
  }
  luo::Session* session = session_of(found->second);
  if (session == nullptr) return fail(ESTALE, "the session is gone");
  switch (number) {
    case abi::kIoctlPreserveFd:
      return preserve(*session, body, std::move(file));
    case abi::kIoctlRetrieveFd:
      return retrieve(*session, body);
    case abi::kIoctlFinish:
      return finish(*session, body);
    case abi::kIoctlGetName:
      return get_name(*session, body);
    default:
      return fail(EINVAL, "no such request");
  }
}

// A new stand-in for it; the caller's structure is answered by who knows its number there.
Result<Device::Answer> Device::hand_out(luo::Session& session) {
  Handles::Handle handle = TRY(handles_.make());
  objects_[handle.cookie] = {.session = session.address};
  kernel_core_->core().sessions().hold(session, {handle.cookie, kernel_core_->caller().generation});
  return Answer{{}, std::move(handle.fd)};
}

Result<Device::Answer> Device::create_session(std::span<const std::byte> body) {
  const auto request = read_body<abi::SessionRequest>(body);
  const std::string_view name = name_in(request);
  if (name.empty() || name.size() == sizeof request.name) return fail(EINVAL, "a name of no use");
  luo::Core& core = kernel_core_->core();
  luo::Change change(core.records());
  abi::SessionSlot* slot = TRY(core.sessions().create(change, kernel_core_->caller(), name, 0));
  change.commit();
  luo::Session& session = core.sessions().index(*slot);
  Result<Answer> answer = hand_out(session);
  if (!answer) {
    const Status ended = core.end_session(session, false);
    if (!ended) log_warning("session '{}': {}", name, ended.error().message);
    return answer;
  }
  answer->body.assign(body.begin(), body.end());
  return answer;
}

Result<Device::Answer> Device::retrieve_session(std::span<const std::byte> body) {
  const auto request = read_body<abi::SessionRequest>(body);
  luo::Session* session =
      TRY(kernel_core_->core().sessions().retrieve(kernel_core_->caller(), name_in(request)));
  Answer answer = TRY(hand_out(*session));
  answer.body.assign(body.begin(), body.end());
  return answer;
}

Result<Device::Answer> Device::preserve(luo::Session& session, std::span<const std::byte> body,
                                        Result<UniqueFd> file) {
  const auto request = read_body<abi::FdRequest>(body);
  // The token before the file.
  if (!file && session.files.find(request.token) != nullptr) {
    return fail(EEXIST, "token {:#x} is used", uint64_t{request.token});
  }
  UniqueFd fd = TRY(std::move(file));
  luo::Core& core = kernel_core_->core();
  const luo::NewFile wanted[] = {{request.token, fd}};
  luo::Change change(core.records());
  luo::Files::Preserving preserving = TRY(core.files().preserve(change, session, wanted));
  change.commit();
  preserving.committed();
  static_cast<void>(fd.release());  // the record holds it
  return answer_with(request);
}

Result<Device::Answer> Device::retrieve(luo::Session& session, std::span<const std::byte> body) {
  const auto request = read_body<abi::FdRequest>(body);
  luo::Core& core = kernel_core_->core();
  luo::Change change(core.records());
  const Result<BorrowedFd> held = core.files().retrieve(change, session, request.token);
  if (!change.empty()) change.commit();  // also that it failed is remembered
  if (!held) return held.error();
  Answer answer = answer_with(request);
  answer.fd = TRY(sys::dup_cloexec(*held));
  return answer;
}

Result<Device::Answer> Device::finish(luo::Session& session, std::span<const std::byte> body) {
  const auto request = read_body<abi::FinishRequest>(body);
  if (request.reserved != 0) return fail(EINVAL, "reserved is not 0");
  TRY(kernel_core_->core().finish_files(session));
  return answer_with(request);
}

Result<Device::Answer> Device::get_name(luo::Session& session, std::span<const std::byte> body) {
  auto request = read_body<abi::GetNameRequest>(body);
  if (request.reserved != 0) return fail(EINVAL, "reserved is not 0");
  // As strscpy there: words are written whole, what is behind the NUL's word stays the caller's.
  memset(request.name, 0, (session.name.size() / kWord + 1) * kWord);
  memcpy(request.name, session.name.data(), session.name.size());
  return answer_with(request);
}

Status Device::kexec() {
  if (!loaded_) return fail(EINVAL, "no kernel is loaded");
  return reboot();
}

Status Device::reboot() {
  drain();
  TRY(kernel_core_->kexec());
  for (auto& [cookie, object] : objects_) object.dead = true;
  in_use_ = false;
  loaded_ = false;
  return {};
}

Status Device::set_faults(std::string_view text) {
  faults_ = TRY(parse_faults(text));
  return arm_faults(faults_.points);
}

}  // namespace outlive::compat
