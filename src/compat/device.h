// Device: what /dev/liveupdate does, on luo::Core. The holder of a device has one.
//
// Happy path:   open() -> execute(CREATE_SESSION) -> execute(PRESERVE_FD) ... -> reboot() -> open()
// ->
//               execute(RETRIEVE_SESSION) -> execute(RETRIEVE_FD) -> execute(FINISH)
// Unhappy path: an answer never reaches its caller: the descriptor in it is dropped, which is a
// close:
//               that is what the kernel does too when it can't write the result (EFAULT).
// Closing:      drain() ends what was closed: outgoing: unpreserved, last first; incoming: as
// FINISH. Locks: none, one thread. Nothing here waits.
#pragma once

#include <map>
#include <span>

#include "abi/compat.h"
#include "abi/liveupdate.h"
#include "compat/faults.h"
#include "compat/handles.h"
#include "compat/kernel_core.h"

namespace outlive::compat {

class Device {
 public:
  static Result<std::unique_ptr<Device>> create(Kernel kernel);

  Kernel kernel() const { return kernel_; }
  uint64_t number() { return kernel_core_->number(); }
  BorrowedFd closed() const { return handles_.ready(); }  // readable: drain()
  void drain();

  // What the descriptor with this cookie is; 0: the device itself (kDevice or kAbsent).
  abi::CompatKind look(uint64_t cookie);
  // EBUSY: it is open; EIO: what came in is corrupt; ENOENT: absent.
  Result<UniqueFd> open();

  struct Answer {
    std::vector<std::byte> body;
    UniqueFd fd;
  };
  // The request itself; its arguments were checked (arguments.h). `file`: the file to preserve, or
  // why the caller has none. ESTALE: the descriptor is of before a reboot.
  Result<Answer> execute(uint64_t cookie, uint32_t number, std::span<const std::byte> body,
                         Result<UniqueFd> file);

  // A kernel to boot into is loaded, or not any more.
  void load(bool loaded) { loaded_ = loaded; }
  // reboot(KEXEC): EINVAL when none is loaded. After it all descriptors of before are dead.
  Status kexec();
  Status reboot();
  Status set_faults(std::string_view text);

 private:
  struct Object {
    bool device = false;
    bool dead = false;
    uint64_t session = 0;  // SessionSlot address
  };

  Device(Kernel kernel, Handles handles) : kernel_(kernel), handles_(std::move(handles)) {}
  void end(const Object& object);
  luo::Session* session_of(const Object& object);
  Result<Answer> create_session(std::span<const std::byte> body);
  Result<Answer> retrieve_session(std::span<const std::byte> body);
  Result<Answer> hand_out(luo::Session& session);
  Result<Answer> preserve(luo::Session& session, std::span<const std::byte> body,
                          Result<UniqueFd> file);
  Result<Answer> retrieve(luo::Session& session, std::span<const std::byte> body);
  Result<Answer> finish(luo::Session& session, std::span<const std::byte> body);
  Result<Answer> get_name(luo::Session& session, std::span<const std::byte> body);

  Kernel kernel_;
  Handles handles_;
  std::unique_ptr<KernelCore> kernel_core_;
  std::map<uint64_t, Object> objects_;  // by cookie
  Faults faults_;
  bool in_use_ = false;
  bool loaded_ = false;
};

}  // namespace outlive::compat
