// What crosses a kexec by the kernel, as abi/kernel_carry.h lays it out: Carry on this side of it,
// Arrival on the other.
//
// Happy path:   Carry::begin -> add() for each file, reserve() -> (everything is frozen) -> write()
//               -> reboot(2) -> Arrival::open -> arena(), file() for each -> finish()
// Unhappy path: a Carry that is destroyed before the reboot gives everything up again: cancelled.
//               Nothing is preserved by write(): that is never done in the blackout.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <vector>

#include "abi/kernel_carry.h"
#include "machine/kernel/liveupdate_device.h"

namespace outlive::machine {

class Carry {
 public:
  static Result<Carry> begin(UniqueFd device);
  // ENOENT: the kernel takes no such file. The rest: as KernelSession::preserve.
  Status add(uint64_t session, uint64_t token, BorrowedFd file);
  // Room for an arena's image and for what is noted of so many files.
  Status reserve(uint64_t image_bytes, size_t files);
  // Where the image goes: a file of that many bytes, zeros.
  BorrowedFd image() const { return image_; }
  // ENOSPC: more than was reserved.
  Status write(std::span<const abi::CarryFile> files, uint64_t realtime_ns);

 private:
  Carry(UniqueFd device, KernelSession own) : device_(std::move(device)), own_(std::move(own)) {}

  UniqueFd device_;
  KernelSession own_;
  std::map<uint64_t, KernelSession> sessions_;
  UniqueFd image_;
  UniqueFd notes_;
  size_t room_ = 0;  // files
};

// What the kernel doesn't keep of an open file.
Result<abi::CarryFile> facts_to_carry(uint64_t id, BorrowedFd file);
// Puts it back.
Status restore_facts(const abi::CarryFile& facts, BorrowedFd file);

class Arrival {
 public:
  // nullopt: nothing of outlived's came from the kernel before. EPROTO, EUCLEAN, or the kernel's
  // error: something did, and it can't be read.
  static Result<std::optional<Arrival>> open(BorrowedFd device);
  BorrowedFd image() const { return image_; }
  uint64_t written_ns() const { return header_.written_ns; }
  const std::map<uint64_t, abi::CarryFile>& files() const { return files_; }  // by record
  // ENOENT: it didn't cross.
  Result<UniqueFd> file(uint64_t session, uint64_t token);
  // All of them: what was retrieved is ours alone, the rest is gone.
  Status finish();

 private:
  Arrival(BorrowedFd device, KernelSession own) : device_(device), own_(std::move(own)) {}
  Status read_notes(BorrowedFd notes);

  BorrowedFd device_;
  KernelSession own_;
  std::map<uint64_t, KernelSession> sessions_;
  UniqueFd image_;
  abi::CarryHeader header_{};
  std::map<uint64_t, abi::CarryFile> files_;
};

}  // namespace outlive::machine
